from __future__ import annotations

import pytest

from actors.order.insisting import ask_until_answered
from storage.errors import CommitUnknown, StorageUnavailable


async def test_the_database_is_asked_until_it_tells_after_waits_that_double_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Exception | int] = [StorageUnavailable("away"), CommitUnknown("lost"), StorageUnavailable("away"), 7]
    waits: list[float] = []

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("actors.order.insisting.asyncio.sleep", wait)
    assert await ask_until_answered(ask, first_s=1.0, max_s=3.0) == 7
    assert waits == [1.0, 2.0, 3.0]


async def test_what_is_no_sign_of_a_database_that_is_away_is_raised() -> None:
    async def ask() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask_until_answered(ask, first_s=0.0, max_s=0.0)
