from __future__ import annotations

from dataclasses import replace

import pytest

from actors.watches import reached
from domain.order import Status, ValidationError
from tests.unit.sagas.making import at


@pytest.mark.parametrize("status", list(Status))
def test_validation_is_awaited_until_the_order_is_past_it_or_cancelled(status: Status) -> None:
    assert reached(at(status).order, "validated") == (status not in {Status.CREATED, Status.CANCELLING})


def test_an_order_that_waits_for_an_edit_is_not_awaited_but_one_whose_stock_is_still_given_back_is() -> None:
    errors = (ValidationError("out_of_stock", "pen", "nothing is left"),)
    for status, is_reached in ((Status.CREATED, True), (Status.CANCELLING, False), (Status.CANCELLED, True)):
        assert reached(replace(at(status).order, validation_errors=errors), "validated") is is_reached
