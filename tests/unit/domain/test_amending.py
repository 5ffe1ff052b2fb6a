from __future__ import annotations

from dataclasses import replace

import pytest

from domain.amending import amended
from domain.order import Status
from tests.unit.sagas.making import prepared


def test_an_amended_order_is_what_replace_gives_and_the_old_one_stays_as_it_was() -> None:
    order = prepared().order
    version = order.version
    assert amended(order, version=99, status=Status.SHIPPED) == replace(order, version=99, status=Status.SHIPPED)
    assert (order.version, order.status) == (version, Status.PREPARED)


def test_copies_are_made_of_any_frozen_value_and_what_it_is_made_of() -> None:
    line = prepared().order.lines[0]
    assert amended(line, quantity=7) == replace(line, quantity=7)
    assert amended(line) == line


def test_an_order_has_no_other_fields_than_its_own() -> None:
    with pytest.raises(AttributeError):
        amended(prepared().order, colour="red")
