from local.guard import descendants

# 1 -> 10 -> 100 -> 1000
#   -> 20    101
FAMILY = {10: 1, 20: 1, 100: 10, 101: 10, 1000: 100}


def test_descendants_are_all_generations_below_but_not_the_process_itself() -> None:
    assert descendants(10, FAMILY) == {100, 101, 1000}


def test_a_process_without_children_has_no_descendants() -> None:
    assert descendants(20, FAMILY) == set()


def test_siblings_are_not_descendants() -> None:
    assert 20 not in descendants(10, FAMILY)


def test_a_list_read_while_numbers_were_reused_does_not_loop() -> None:
    assert descendants(1, {2: 1, 3: 2, 2_000: 3, 1: 2_000}) == {1, 2, 3, 2_000}
