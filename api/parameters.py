"""From a query to checked parameters.

A parameter that is not known, or is given twice where one is wanted, is a mistake that the caller is told of.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.bodies import problem_of
from api.exchange import Incoming
from api.problems import Problem
from domain.errors import FieldError

Q = TypeVar("Q", bound=BaseModel)


def read_query(model: type[Q], asked: Incoming) -> Q:
    """Read a query; only parameters that the model has as lists may be repeated. Raises ``Problem``, ``TooManyParametersError``."""
    given: dict[str, Any] = {}
    for name, value in asked.query():
        field = model.model_fields.get(name)
        if field is not None and isinstance(field.default, list):
            given.setdefault(name, []).append(value)
        elif name in given:
            fault = FieldError(f"/{name}", "repeated", "Given more than once")
            raise Problem("invalid_parameter", f"{name} is given more than once.", errors=(fault,))
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise problem_of(error, "invalid_parameter") from None
