"""The OpenAPI 3.1 document: what FastAPI makes of the routes, brought to what generated clients need.

It is made once, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.openapi.described import HEADERS, REF
from api.openapi.links import links_of
from api.openapi.schemas import finish, name_words, widen
from api.problems import CODES
from api.shapes.documents import ProblemDocument

Json = dict[str, Any]

TITLE = "OrderSvc"
VERSION = "1"
DESCRIPTION = """An order's whole life, from creation to delivery, with payment and inventory integrated.

Amounts are int64 minor units of the order's currency. Times are RFC 3339 UTC. Every error is `application/problem+json`
(RFC 9457) with a `code`. Repeat what was not answered with the same `Idempotency-Key`: it happens once.
"""
TAGS = [
    {"name": "orders", "description": "Creating, showing, listing, shipping and cancelling orders."},
    {"name": "items", "description": "Lines and discounts of an order that is not paid yet."},
    {"name": "payments", "description": "Paying an order, and what became of it."},
    {"name": "promotions", "description": "Discount codes, for staff."},
    {"name": "staff", "description": "Orders that need attention, and messages that could not be handled."},
    {"name": "health", "description": "How the service is."},
]
CONTACT = {"name": "The OrderSvc team"}


def openapi_document(app: FastAPI, shipping_prices: Mapping[str, Mapping[str, int]]) -> Json:
    """Make the whole document. ``shipping_prices``: method -> currency -> amount, the ones that orders may have."""
    document: Json = get_openapi(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        routes=app.routes,
        tags=TAGS,
        servers=[{"url": "/"}],
        contact=CONTACT,
    )
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    schemas: Json = document["components"]["schemas"]
    schemas |= _problem_schemas()
    asked: set[str] = set()
    for operation in operations:
        operation.setdefault("security", [])
        # One of several scopes is wanted; those of one requirement would all be.
        operation["security"] = [{"bearer": [each]} for one in operation["security"] for each in one["bearer"]]
        _say_each_parameter_once(operation)
        if "requestBody" in operation:
            asked.add(_named_body(operation["requestBody"], schemas))
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]  # what is no order's id is not found
        _link(operation, document["paths"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    finish(schemas, asked, shipping_prices)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["headers"] = {name: HEADERS[name] for name in sorted(_headers_of(operations))}
    widen(document)
    return document


def _problem_schemas() -> Json:
    _, found = models_json_schema([(ProblemDocument, "serialization")], ref_template=REF)
    schemas: Json = found["$defs"]
    schemas["ProblemDocument"]["properties"]["code"]["x-extensible-enum"] = sorted(CODES)
    return schemas


def _say_each_parameter_once(operation: Json) -> None:
    """A parameter is there or it is not; it is never null. Its schema repeats neither name nor description.

    One that stands in the path may be given in the query besides, and is not described there.
    """
    parameters = operation.setdefault("parameters", [])
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    operation["parameters"] = [each for each in parameters if each["in"] == "path" or each["name"] not in in_path]
    for parameter in operation["parameters"]:
        schema = {key: value for key, value in parameter["schema"].items() if key not in ("title", "description")}
        options = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
        if len(options) == 1:
            schema = {key: value for key, value in schema.items() if key not in ("anyOf", "default")} | options[0]
        name_words(schema)
        parameter["schema"] = schema


def _named_body(body: Json, schemas: Json) -> str:
    """Put the schema of a body, and those that it is made of, among the others; give its name."""
    media = body["content"]["application/json"]
    schema = media["schema"]
    schemas |= schema.pop("$defs", {})
    name: str = schema["title"]
    schemas[name] = schema
    media["schema"] = {"$ref": REF.format(model=name)}
    return name


def _link(operation: Json, paths: Json) -> None:
    links = links_of(operation["operationId"], paths)
    if links:
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                answer["links"] = links


def _headers_of(operations: Iterable[Json]) -> set[str]:
    """The names of the headers that any answer may have."""
    return {
        name
        for operation in operations
        for answer in operation["responses"].values()
        for name in answer.get("headers", {})
    }
