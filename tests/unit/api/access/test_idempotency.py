from __future__ import annotations

from uuid import UUID

import pytest

from api.access.idempotency import fingerprint, message_id_for, new_message_id, order_id_for, read_key
from api.problems import Problem
from tests.unit.api.harness import ORDER_ID, World


@pytest.mark.parametrize(
    ("header", "key"),
    [("abc", "abc"), ('"abc"', "abc"), ('"a\\"b\\\\c"', 'a"b\\c'), ('"', '"'), ("x" * 255, "x" * 255), ("a b", "a b")],
)
def test_a_key_is_quoted_or_bare(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "é", "a\tb", "a\x7fb"])
def test_a_key_that_can_not_be_used_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        read_key(header)
    assert caught.value.code == "invalid_idempotency_key"


async def test_a_key_is_missing_only_where_it_is_required(world: World) -> None:
    assert read_key(None) is None
    creation = {"customer_id": "c", "currency": "EUR", "items": [{"sku": "S", "quantity": 1}]}
    assert (await world.ask("POST", "/api/orders", json=creation)).code == "idempotency_key_missing"
    assert (await world.ask("DELETE", f"/api/orders/{ORDER_ID}")).status == 200


def test_ids_follow_from_what_they_stand_for_and_are_uuids() -> None:
    order_id = order_id_for("s", "k")
    assert order_id == order_id_for("s", "k")
    assert UUID(order_id).version == 8
    assert str(UUID(order_id)) == order_id
    assert UUID(message_id_for("s", "POST", "/x", "k")).version == 8
    assert UUID(new_message_id()).version == 4


def test_no_two_wishes_share_an_id() -> None:
    ids = {
        order_id_for("s", "k"),
        order_id_for("s", "k2"),
        order_id_for("s2", "k"),
        order_id_for("sk", ""),
        order_id_for("", "sk"),
        order_id_for("1:s", "k"),
        message_id_for("s", "POST", "/x", "k"),
        message_id_for("s", "PUT", "/x", "k"),
        message_id_for("s", "POST", "/y", "k"),
        message_id_for("s2", "POST", "/x", "k"),
    }
    assert len(ids) == 10


def test_bodies_are_compared_as_json_with_the_query() -> None:
    same = fingerprint({"a": 1, "b": [1, 2]}, [("x", "1"), ("y", "2")])
    assert same == fingerprint({"b": [1, 2], "a": 1}, [("y", "2"), ("x", "1")])
    others = [
        fingerprint({"a": 1, "b": [2, 1]}, [("x", "1"), ("y", "2")]),
        fingerprint({"a": "1", "b": [1, 2]}, [("x", "1"), ("y", "2")]),
        fingerprint({"a": 1, "b": [1, 2]}, [("x", "1")]),
        fingerprint(None, []),
    ]
    assert len({same, *others}) == 5
