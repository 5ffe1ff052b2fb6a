"""A minute of bad input beside good lives: it costs its own sender an answer at most."""

from __future__ import annotations

import pytest

from tests.fuzz.run import Size, fuzz

SEED = 31
SECONDS = 60.0

pytestmark = [pytest.mark.own_service, pytest.mark.timeout(600)]


async def test_no_input_stops_what_others_need() -> None:
    """One kind of message used to stop the inbox for good, one promotion every order with its code, one token its neighbours."""
    findings = await fuzz(SEED, Size(seconds=SECONDS))
    print(dict(findings.answers))
    assert findings.report() == ""
    assert findings.answers["lives ended well"] >= SECONDS
    assert findings.answers["events sent"] >= 3 * SECONDS
    assert findings.answers["partners' answers spoilt"] >= 10
    assert sum(times for answer, times in findings.answers.items() if answer.startswith("REST 4")) >= 5 * SECONDS
