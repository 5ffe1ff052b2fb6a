import pytest

from local.state import PORT_FIRST, PORT_LAST, PORT_TRIES_MAX, port_range


def test_ports_are_chosen_below_the_usual_ephemeral_range() -> None:
    assert port_range("32768\t60999\n") == range(PORT_FIRST, PORT_LAST + 1)


@pytest.mark.parametrize("first", [20_500, 25_000, 31_999])
def test_a_lower_ephemeral_range_moves_the_end(first: int) -> None:
    assert port_range(f"{first}\t60999\n") == range(PORT_FIRST, first)


@pytest.mark.parametrize("first", [10_240, 15_000, PORT_FIRST + PORT_TRIES_MAX])
def test_a_machine_that_hands_out_nearly_all_ports_by_itself_leaves_the_lower_ones(first: int) -> None:
    assert port_range(f"{first}\t65535\n") == range(10_000, first)
