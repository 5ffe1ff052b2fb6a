"""A checker that finds nothing proves nothing: builds that are broken on purpose are found out, each by its law."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.broken_build import SOUND, build, judge
from tests.faults.run import service
from tests.faults.sabotage import BLIND, MUTANTS


def test_each_deliberate_fault_is_found_by_its_law_and_sound_orders_are_not_accused(tmp_path: Path) -> None:
    folder = tmp_path / "build"
    with service(build(folder), {"API_PROCESSES": "1", "PAYMENT_WINDOW_S": "10"}) as started:
        found = asyncio.run(judge(started, folder / BLIND.name))
    laws = {(whose, violation.law) for whose, violation in found}
    report = "\n".join(f"{whose}: {violation}" for whose, violation in found)
    print(report)
    missed = [name for name, (whose, law) in MUTANTS.items() if (whose, law) not in laws]
    assert not missed, f"not found: {missed}\n{report}"
    accused = [str(violation) for whose, violation in found if whose == SOUND]
    assert not accused, accused
