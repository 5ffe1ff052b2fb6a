"""Answers are kept with what they tell of, or neither is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from storage.postgres import Database, open_database
from storage.writes.kept_answers import KeptAnswer, KeptAnswers
from storage.writes.promotions import Promotions
from tests.integration.storage.test_promotions import TEN

KEEP_DAYS = 7


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, application_name="test-answers")
    yield opened
    await opened.close()


@pytest.fixture
def answers(database: Database) -> KeptAnswers:
    return KeptAnswers(database)


@pytest.fixture
def promotions(database: Database) -> Promotions:
    return Promotions(database)


def an_answer(answer: bytes = b"made") -> KeptAnswer:
    return KeptAnswer(str(uuid4()), "digest", answer)


async def test_an_answer_is_found_as_it_was_kept_and_the_first_one_stays(answers: KeptAnswers) -> None:
    kept = an_answer(b"\x00\xff")
    assert await answers.find(kept.id) is None
    await answers.keep(kept)
    await answers.keep(replace(kept, answer=b"another"))
    assert await answers.find(kept.id) == kept


async def test_a_change_of_a_promotion_keeps_its_answer_and_a_change_that_is_none_keeps_none(
    promotions: Promotions, answers: KeptAnswers
) -> None:
    made, taken, changed, lost, gone, missed = (an_answer() for _ in range(6))
    after = replace(TEN, active=False)
    assert await promotions.create(TEN, made)
    assert not await promotions.create(TEN, taken)
    assert await promotions.change(TEN, after, changed)
    assert not await promotions.change(TEN, replace(TEN, max_uses=9), lost)
    assert await promotions.delete("TEN", gone)
    assert not await promotions.delete("TEN", missed)
    for kept in (made, changed, gone):
        assert await answers.find(kept.id) == kept
    for kept in (taken, lost, missed):
        assert await answers.find(kept.id) is None


async def test_what_comes_under_a_key_that_is_answered_changes_nothing(
    promotions: Promotions, answers: KeptAnswers
) -> None:
    kept = an_answer()
    assert await promotions.create(TEN, kept)
    assert not await promotions.create(replace(TEN, code="OTHER"), replace(kept, answer=b"another"))
    assert not await promotions.change(TEN, replace(TEN, active=False), kept)
    assert not await promotions.delete("TEN", kept)
    assert await promotions.find("OTHER") is None
    assert await promotions.find("TEN") == TEN
    assert await answers.find(kept.id) == kept


async def test_of_creations_at_once_under_one_key_one_is_made(promotions: Promotions) -> None:
    kept = an_answer()
    codes = [f"CODE-{n}" for n in range(8)]
    done = await asyncio.gather(*(promotions.create(replace(TEN, code=code), kept) for code in codes))
    assert sorted(done) == [False] * 7 + [True]
    assert [code for code in codes if await promotions.find(code)] == [codes[done.index(True)]]


async def test_answers_are_forgotten_after_some_days(
    answers: KeptAnswers, sql: asyncpg.Connection[asyncpg.Record]
) -> None:
    old, young = an_answer(), an_answer()
    for kept, days in ((old, KEEP_DAYS + 0.01), (young, KEEP_DAYS - 0.01)):
        await answers.keep(kept)
        await sql.execute("update answers set at = at - $2 * interval '1 day' where id = $1", kept.id, days)
    await answers.forget(KEEP_DAYS)
    assert await answers.find(old.id) is None
    assert await answers.find(young.id) == young
