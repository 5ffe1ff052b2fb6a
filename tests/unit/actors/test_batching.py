"""Micro-batches: immediate when idle, full under load, never stuck behind a slow one."""

from __future__ import annotations

import asyncio

import pytest

from actors.batching import MicroBatcher
from domain.errors import Unavailable


class Sender:
    """Remembers batches; each stays in flight until released."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gates: list[asyncio.Event] = []

    async def __call__(self, batch: list[int]) -> None:
        gate = asyncio.Event()
        self.batches.append(batch)
        self.gates.append(gate)
        await gate.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_put_in_one_turn_of_the_loop_goes_out_together_at_once() -> None:
    sender = Sender()
    batcher = MicroBatcher(sender, queue_max_items=10, batch_max_items=10)
    for item in range(3):
        batcher.put(item)
    await settle()
    assert sender.batches == [[0, 1, 2]]


async def test_what_arrives_while_two_calls_are_in_flight_is_the_next_call() -> None:
    sender = Sender()
    batcher = MicroBatcher(sender, queue_max_items=10, batch_max_items=10, linger_s=60)
    for item in range(2):
        batcher.put(item)
        await settle()
    for item in range(2, 5):
        batcher.put(item)
        await settle()
    assert sender.batches == [[0], [1]]
    sender.gates[0].set()
    await settle()
    assert sender.batches == [[0], [1], [2, 3, 4]]


async def test_a_slow_batch_does_not_hold_up_those_behind_it_for_longer_than_the_linger() -> None:
    sender = Sender()
    batcher = MicroBatcher(sender, queue_max_items=10, batch_max_items=10, calls_in_flight=1, linger_s=0.001)
    batcher.put(1)
    await settle()
    batcher.put(2)
    async with asyncio.timeout(5):
        while len(sender.batches) < 2:
            await asyncio.sleep(0)
    assert sender.batches == [[1], [2]]


async def test_no_more_calls_are_in_flight_than_the_hard_bound_allows() -> None:
    sender = Sender()
    batcher = MicroBatcher(
        sender, queue_max_items=10, batch_max_items=1, calls_in_flight=1, calls_in_flight_max=2, linger_s=0
    )
    for item in range(5):
        batcher.put(item)
    await settle()
    assert len(sender.batches) == 2
    assert len(batcher) == 3


async def test_a_full_queue_refuses_and_says_that_it_is_overload() -> None:
    batcher = MicroBatcher(Sender(), queue_max_items=2, batch_max_items=1)
    batcher.put(1)
    batcher.put(2)
    with pytest.raises(Unavailable) as refusal:
        batcher.put(3)
    assert refusal.value.overloaded


async def test_items_that_are_put_back_go_before_those_that_wait() -> None:
    sender = Sender()
    batcher = MicroBatcher(sender, queue_max_items=10, batch_max_items=10)
    batcher.put(3)
    batcher.put_back([1, 2])
    await settle()
    assert sender.batches == [[1, 2, 3]]
