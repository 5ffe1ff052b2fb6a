"""The service is what its OpenAPI document says: schemathesis tries all of it, with every check and in every phase.

``ORDERSVC_TEST_OPENAPI_EXAMPLES`` is how many requests it makes up for each operation, beside those that follow from the
document (5; more find more), and ``ORDERSVC_TEST_OPENAPI_SEED`` is what they are made up from (1; a number finds the same
again). Nothing is left out; what schemathesis can't know is in ``openapi_hooks.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.broker import DEAD_LETTERS, Broker
from tests.acceptance.shop import Shop
from tests.acceptance.started import ROOT

EXAMPLES = os.environ.get("ORDERSVC_TEST_OPENAPI_EXAMPLES", "5")
SEED = os.environ.get("ORDERSVC_TEST_OPENAPI_SEED", "1")
LIMIT_S = 280
CUSTOMER = "load-customer-7"
SCOPES = "orders:read orders:write payments:write"
PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What schemathesis said, and what each operation ("GET /api/orders") was answered: statuses with their numbers."""

    code: int
    said: str
    answers: dict[str, dict[str, int]]

    def succeeded(self, operation: str) -> bool:
        """Whether it was answered 2xx."""
        return any(status.startswith("2") for status in self.answers.get(operation, {}))


@pytest.fixture(scope="module")
def trials(shop: Shop, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """An admin's trial and a customer's, side by side."""
    message_id = str(uuid4())
    broker.send("PagoConfirmado", b"no JSON", message_id=message_id)
    broker.arrived(DEAD_LETTERS, message_id)
    _, letters, _ = shop.ask("GET", "/api/dead-letters")
    letter_id = next(letter["id"] for letter in letters["data"] if letter["message_id"] == message_id)
    tokens = {"admin": shop.token("admin"), "customer": shop.token(SCOPES, customer=CUSTOMER)}
    folder = tmp_path_factory.mktemp("openapi")
    started = {name: _start(shop, token, letter_id, folder / name) for name, token in tokens.items()}
    try:
        return {name: _finish(process, folder / name) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def _start(shop: Shop, token: str, letter_id: str, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.acceptance.openapi_hooks",
        "API": shop.endpoints["api"],
        "ADMIN_TOKEN": shop.endpoints["token"],
        "CUSTOMER": CUSTOMER,
        "LETTER_ID": letter_id,
        "ANSWERS": str(folder / "answers.json"),
    }
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml"), "run"]
    command += [f"{shop.endpoints['api']}/openapi.json", "--header", f"Authorization: Bearer {token}", "--no-color"]
    command += ["--max-examples", EXAMPLES, "--seed", SEED]
    with (folder / "said").open("wb") as file:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)


def _finish(process: subprocess.Popen[bytes], folder: Path) -> Trial:
    code = process.wait(LIMIT_S)
    told = json.loads((folder / "answers.json").read_text())
    return Trial(code=code, said=(folder / "said").read_text(), answers=told["answers"])


def operations(document: Any) -> dict[str, list[str]]:
    """Every operation, with the scopes of which it wants one."""
    return {
        f"{method.upper()} {path}": [scope for each in operation["security"] for scope in each["bearer"]]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


@pytest.mark.parametrize("who", ["admin", "customer"])
def test_no_check_of_any_phase_finds_a_fault_in_any_operation(
    trials: dict[str, Trial], document: Any, who: str
) -> None:
    trial = trials[who]
    assert trial.code == 0, trial.said
    number = len(operations(document))
    assert f"Operations:       {number} selected / {number} total" in trial.said
    assert f"Tested: {number}" in trial.said
    assert [phase for phase in PHASES if f"✅ {phase}" in trial.said] == list(PHASES), trial.said


def test_every_operation_succeeds_for_an_admin(trials: dict[str, Trial], document: Any) -> None:
    answers = trials["admin"].answers
    print(json.dumps({operation: answers.get(operation) for operation in operations(document)}, indent=1))
    assert [each for each in operations(document) if not trials["admin"].succeeded(each)] == []


def test_a_customer_succeeds_in_all_that_its_scopes_allow_and_in_nothing_else(
    trials: dict[str, Trial], document: Any
) -> None:
    allowed = {each for each, wanted in operations(document).items() if not wanted or {*wanted} & {*SCOPES.split()}}
    assert {each for each in operations(document) if trials["customer"].succeeded(each)} == allowed
    for each in operations(document).keys() - allowed:
        assert trials["customer"].answers[each]["403"] > 0, each
