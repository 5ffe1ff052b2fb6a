from datetime import UTC, datetime

import pytest

from benchmarks.filled import BEGUN, LIFE, order_in
from domain.order import Status

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "status"),
    [(0, Status.VALIDATED), (1, Status.PREPARED), (2, Status.SHIPPED), (len(LIFE), Status.DELIVERED)],
)
def test_an_order_gets_as_far_as_its_commands_take_it(last: int, status: Status) -> None:
    order = order_in(last, NOW)
    assert (order.status, len(order.lines)) == (status, 3)
    assert len(order.payments) == (1 if last else 0)
    assert not order.steps


def test_an_order_that_has_only_begun_waits_for_a_partner() -> None:
    order = order_in(BEGUN, NOW)
    assert order.status is Status.CREATED
    assert order.steps
