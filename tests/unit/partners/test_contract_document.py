"""`contracts/partners.yaml` is for people and their tools; here it is held against what is read, and what the sandbox serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.sandbox.server import ROUTES
from partners import contract
from partners.contract import INVALID_REQUEST, PartnerOperation

DOCUMENT = Path(__file__).resolve().parents[3] / "contracts" / "partners.yaml"
METHODS = ("get", "put", "post", "delete")
READ: dict[str, PartnerOperation[Any]] = {
    "list_products": contract.FETCH_PRODUCTS,
    "put_hold": contract.PUT_HOLD,
    "commit_hold": contract.COMMIT_HOLD,
    "delete_hold": contract.RELEASE_HOLD,
    "charge": contract.CHARGE,
    "get_payment": contract.GET_PAYMENT,
    "refund": contract.REFUND,
    "get_refund": contract.GET_REFUND,
    "get_customer": contract.GET_CUSTOMER,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return loaded


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Give path, method and description of each operation by its id."""
    return {
        item[method]["operationId"]: (path, method.upper(), item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }


def test_the_document_describes_what_the_sandbox_serves(document: dict[str, Any]) -> None:
    described = operations(document)
    assert described.keys() == set(ROUTES.values())
    for (partner, resource, method, parts, verb), name in ROUTES.items():
        path, described_method, operation = described[name]
        shape = ["" if part.startswith("{") else part for part in path.split("/")[1:]]
        assert (shape, described_method) == ([resource, "", verb][: parts + 1], method), name
        assert operation["tags"] == [f"{partner.title()}Svc"], name


@pytest.mark.parametrize("name", sorted(READ))
def test_the_document_names_each_status_and_code_that_is_read(document: dict[str, Any], name: str) -> None:
    _, method, described = operations(document)[name]
    operation = READ[name]
    answers = {int(status): _resolved(document, answer) for status, answer in described["responses"].items()}
    assert method == operation.method
    assert {status for status, answer in answers.items() if "application/json" in answer["content"]} == {
        *operation.success
    }
    named = {
        (status, code)
        for status, answer in answers.items()
        if "application/problem+json" in answer["content"]
        for code in _codes(answer)
    }
    assert named == {*operation.refusals, INVALID_REQUEST}


def _codes(answer: dict[str, Any]) -> list[str]:
    code: dict[str, Any] = answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]
    return [*code.get("enum", ()), *([code["const"]] if "const" in code else ())]


def _resolved(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    name = answer.get("$ref", "").removeprefix("#/components/responses/")
    found: dict[str, Any] = document["components"]["responses"][name] if name else answer
    return found
