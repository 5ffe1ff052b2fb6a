from benchmarks.spending import Spent, since


def test_what_was_spent_is_the_difference_of_two_looks() -> None:
    before = {"api": Spent(1.0, 0.5, 10)}
    now = {"api": Spent(1.5, 0.75, 30), "shards": Spent(0.25, 0.25, 4)}
    assert since(now, before) == {"api": Spent(0.5, 0.25, 20), "shards": Spent(0.25, 0.25, 4)}


def test_both_modes_are_cpu() -> None:
    assert Spent(1.5, 0.25, 7).cpu_s == 1.75
