"""Which requests a knob is for, and how often it acts."""

from __future__ import annotations

import msgspec
import pytest

from local.sandbox.injected_faults import FAULTS_MAX, Facts, InjectedFault, InjectedFaults, plan

CHARGE = Facts(operation="charge", order_id="o", customer_id="c", method="card", token="tok_1")
HOLD = Facts(operation="put_hold", order_id="o", skus=("a", "b"))


def _set(*faults: InjectedFault) -> InjectedFaults:
    them = InjectedFaults()
    them.replace(list(faults))
    return them


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"partner": "payment"},
        {"operation": "charge"},
        {"order_id": "o"},
        {"customer_id": "c"},
        {"method": "card"},
        {"token": "tok_1"},
    ],
)
def test_a_knob_is_for_the_requests_that_all_its_fields_fit(fields: dict[str, str]) -> None:
    assert "fail" in _set(InjectedFault(effect="fail", **fields)).effects(CHARGE)  # type: ignore[arg-type]
    if fields:
        (name,) = fields
        other = {"partner": "user", "operation": "refund"}.get(name, "other")
        assert not _set(InjectedFault(effect="fail", **{name: other})).effects(CHARGE)  # type: ignore[arg-type]


def test_a_knob_for_a_sku_is_for_holds_with_it_among_others() -> None:
    assert _set(InjectedFault(effect="refuse", sku="b")).effects(HOLD)
    assert not _set(InjectedFault(effect="refuse", sku="c")).effects(HOLD)


def test_a_knob_acts_as_often_as_it_says_and_counts() -> None:
    faults = _set(InjectedFault(effect="fail", times=2))
    assert [bool(faults.effects(CHARGE)) for _ in range(4)] == [True, True, False, False]
    assert faults.all()[0].hits == 2


def test_a_knob_acts_as_likely_as_it_says() -> None:
    assert not _set(InjectedFault(effect="fail", probability=0.0)).effects(CHARGE)
    faults = _set(InjectedFault(effect="fail", probability=0.5))
    for _ in range(1000):
        faults.effects(CHARGE)
    assert 300 < faults.all()[0].hits < 700


def test_the_first_of_two_with_the_same_effect_wins_and_others_add_to_it() -> None:
    faults = _set(
        InjectedFault(effect="fail", status=500, times=1),
        InjectedFault(effect="fail", status=502),
        InjectedFault(effect="delay"),
    )
    first, second = faults.effects(CHARGE), faults.effects(CHARGE)
    assert (first["fail"].fail_status, second["fail"].fail_status) == (500, 502)
    assert "delay" in first


def test_a_delay_is_a_number_or_a_range() -> None:
    assert InjectedFault(effect="delay", delay_ms=7).delay(0) == 7
    assert InjectedFault(effect="delay").delay(3) == 3
    assert all(10 <= InjectedFault(effect="delay", delay_ms=(10, 20)).delay(0) <= 20 for _ in range(100))


def test_a_plan_says_what_a_charge_comes_to() -> None:
    assert plan({}).is_accepted
    assert plan({}).after_ms is None
    declined = plan({"decline": InjectedFault(effect="decline", code="expired_card")})
    assert (declined.is_accepted, declined.code) == (False, "expired_card")
    assert plan({"mismatch": InjectedFault(effect="mismatch", amount_delta=-5)}).amount_delta == -5
    assert plan({"processing": InjectedFault(effect="processing", delay_ms=9)}).after_ms == 9
    assert plan({"silence": InjectedFault(effect="silence")}).after_ms == -1


def test_a_knob_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no such operation"):
        _set(InjectedFault(effect="fail", operation="pay"))
    with pytest.raises(ValueError, match="delay_ms"):
        _set(InjectedFault(effect="delay", delay_ms=(0, -1)))
    with pytest.raises(ValueError, match="status"):
        _set(InjectedFault(effect="do_and_fail", status=302))
    with pytest.raises(ValueError, match="at most"):
        _set(*[InjectedFault(effect="fail")] * (FAULTS_MAX + 1))
    for body in (
        b'{"effect":"explode"}',
        b'{"effect":"fail","sometimes":true}',
        b'{"effect":"fail","probability":2}',
        b'{"effect":"page","status":199}',
        b'{"effect":"page","content":"pdf"}',
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(body, type=InjectedFault)
