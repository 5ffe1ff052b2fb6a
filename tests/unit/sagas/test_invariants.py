"""The laws of docs/faults.md over random lives of an order: partners fail in every way, then the faults stop."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.order import Status
from domain.totals_and_statuses import payment_status, totals
from tests.unit.sagas.world import World

LIKELY = ["calm"] * 20 + ["call"] * 20 + ["answer"] * 20 + ["pay"] * 16 + ["staff"] * 6 + ["due"] * 10
RARE = ["repeat", "event", "decided", "time", "wake", "edit", "restart", "price", "ask_again"] * 2 + [
    "hold_lost",
    "outdated",
    "scarce",
    "cancel",
]
ACTIONS = st.tuples(st.sampled_from(LIKELY + RARE), st.integers(0, 12), st.integers(0, 4))
LIVES = st.lists(ACTIONS, min_size=30, max_size=90)  # lists without a least size are mostly short


@settings(max_examples=1200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(life=LIVES, cached=st.booleans(), units=st.sampled_from([3, 20, 20]), pays=st.booleans())
def test_whatever_happens_an_order_comes_to_rest_with_its_money_and_stock_where_they_belong(
    life: list[tuple[str, int, int]], cached: bool, units: int, pays: bool
) -> None:
    world = World(cached=cached, units=units)
    for action, pick, mood in life:
        world.act(action, pick, mood)
    world.settle(pays=pays)
    order = world.order
    assert order is not None
    assert order.is_closed
    sums = totals(order)
    charged = {
        payment_id: each.amount.amount for payment_id, each in world.bank.charges.items() if each.status == "confirmed"
    }
    assert {each.payment_id: each.amount for each in order.ledger if each.refund_id is None} == charged
    given_back = {
        key: asked.amount.amount for key, (status, asked) in world.bank.refunds.items() if status == "refunded"
    }
    assert {each.refund_id: each.amount for each in order.ledger if each.refund_id} == given_back
    if order.status is Status.CANCELLED:
        assert world.bank.kept() == {}
        assert world.stock.lines == {}
        assert world.stock.state in ("none", "released")
        assert sums.balance == 0
        assert world.uses == []
        assert payment_status(order) in ("unpaid", "refunded")
    else:
        assert order.status is Status.DELIVERED
        assert world.bank.kept() == ({order.currency: sums.total} if sums.total else {})
        assert world.stock.state == "committed"
        assert world.stock.lines == {line.sku: line.quantity for line in order.lines}
        assert sums.balance == 0
        assert sorted(world.uses) == sorted(discount.code for discount in order.discounts)
    assert not order.attention
