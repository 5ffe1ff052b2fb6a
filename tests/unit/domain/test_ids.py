from __future__ import annotations

from uuid import RFC_4122, UUID

from domain import ids

ORDER = "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"


def test_an_id_is_a_uuid_of_version_eight() -> None:
    made = UUID(ids.derived_id(ORDER, "anything"))
    assert (made.version, made.variant) == (8, RFC_4122)


def test_an_id_is_the_same_for_ever() -> None:
    # A changed value would charge customers twice: PaymentSvc knows a payment by this id alone.
    assert ids.payment_id(ORDER, 1) == "384f5e29-e0a2-8c58-950b-b02366d3a0dc"


def test_ids_of_different_orders_purposes_and_numbers_differ() -> None:
    makers = (ids.item_id, ids.payment_id, ids.refund_id, ids.shipment_id)
    made = [make(order, number) for make in makers for order in ("a", "b") for number in range(1, 50)]
    made += [ids.charge_transaction_id("a", "p"), ids.refund_transaction_id("a", "p")]
    assert len(set(made)) == len(made)


def test_uuids_are_in_lower_case_and_other_texts_as_they_are() -> None:
    assert ids.uuid_text("0198F7A2-8E11-7AA0-9A0E-2F8F6D3C1B00") == "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00"
    for text in ("P-1", "0198F7A28E117AA09A0E2F8F6D3C1B00", "{0198F7A2-8E11-7AA0-9A0E-2F8F6D3C1B00}", ""):
        assert ids.uuid_text(text) == text
