"""Clients and faults at the same time, then the laws: the small size of `./dev faults`, with a fixed seed."""

from __future__ import annotations

import asyncio

from tests.faults.report import finished, lines, traced
from tests.faults.run import Size, run, service

SEED = 60
KINDS = (
    "kill_shard",
    "freeze_shard",
    "kill_bulkhead",
    "kill_bridge",
    "kill_supervisor",
    "kill_api",
    "cut_database",
    "refuse_writes",
    "restart_database",
    "kill_broker",
    "alarm_broker",
    "kill_cache",
    "fuzz_inbox",
    "hang_payment",
    "lose_holds",
    "crowd_order",
)
FINISHED_MIN = 20
TRACED_MIN = 0.5


def test_every_law_holds_while_processes_servers_and_partners_fail() -> None:
    with service(settings={"PAYMENT_WINDOW_S": "12"}) as started:
        result = asyncio.run(run(started, SEED, Size(seconds=36, clients=10, fault_every_s=1.9, kinds=KINDS)))
    report = "\n".join(lines(result))
    print(report)
    assert {planned.kind for planned in result.planned} == set(KINDS), "the seed leaves a kind out"
    assert not result.violations, report
    assert {fired.kind for fired in result.faults.fired} == set(KINDS), report
    assert finished(result) >= FINISHED_MIN, report
    assert traced(result) >= TRACED_MIN, report
