from benchmarks.memory import Memory
from benchmarks.processes import Group, Process


def shard(pid: int, resident_bytes: int) -> Process:
    return Process(pid, 1, "ray::OrderShard", "", 0.0, resident_bytes)


def test_growth_is_told_of_the_process_that_grew_most() -> None:
    memory = Memory()
    for second in range(20):
        memory.note([shard(1, 100), shard(2, 100 + 10 * second)])
    assert memory.growths()[Group.SHARDS] == 275 / 155


def test_what_filled_at_the_beginning_is_no_growth() -> None:
    memory = Memory()
    for second in range(20):
        memory.note([shard(1, min(100, 50 + 20 * second))])
    assert memory.growths() == {Group.SHARDS: 1.0}


def test_a_process_that_was_replaced_is_another_one() -> None:
    memory = Memory()
    for second in range(20):
        memory.note([shard(1 if second < 10 else 2, 100 if second < 10 else 900)])
    assert memory.growths() == {Group.SHARDS: 1.0}
    assert memory.peaks() == {Group.SHARDS: 900}


def test_too_few_samples_tell_nothing_and_others_processes_are_none_of_ours() -> None:
    memory = Memory()
    memory.note([shard(1, 100), Process(2, 1, "postgres: checkpointer", "", 0.0, 5000)])
    assert memory.growths() == {}
    assert memory.peaks() == {Group.SHARDS: 100}
