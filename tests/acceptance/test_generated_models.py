"""The document ``/asyncapi.json`` is one that tools take: its makers' own validator has nothing to say, and what a client team
generates from it reads the events of real lives, with a class a type, and only one of each.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.acceptance.broker import Broker
from tests.acceptance.shop import Shop
from tests.acceptance.test_published import EVENT_TYPES, cancelled_life, whole_life
from tests.tools.asyncapi import findings_of

GENERATE_LIMIT_S = 120
CONSUMED = {"PagoConfirmado", "PagoRechazado", "InventarioActualizado", "ClienteActualizado"}


@pytest.fixture(scope="module")
def document(shop: Shop) -> dict[str, Any]:
    """The document as it is served."""
    status, found, _ = shop.ask("GET", "/asyncapi.json")
    assert status == 200
    whole: dict[str, Any] = found
    return whole


@pytest.fixture(scope="module")
def models(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module that datamodel-code-generator makes of the document."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "asyncapi.json").write_text(json.dumps(document))
    subprocess.run(
        [
            *(sys.executable, "-m", "datamodel_code_generator"),
            *("--input", "asyncapi.json", "--input-file-type", "asyncapi", "--output", "models.py"),
            *("--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11"),
        ],
        cwd=folder,
        check=True,
        timeout=GENERATE_LIMIT_S,
    )
    return imported(folder / "models.py")


def imported(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated_models", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks up there what an annotation names
    spec.loader.exec_module(module)
    return module


def model(models: ModuleType, name: str) -> Any:
    return getattr(models, name)


def test_the_document_has_no_fault_and_no_warning(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "asyncapi.json").write_text(json.dumps(document))
    assert findings_of(tmp_path / "asyncapi.json", tmp_path) == []


def test_the_validator_finds_what_is_missing_or_misspelt(document: dict[str, Any], tmp_path: Path) -> None:
    info = {name: value for name, value in document["info"].items() if name != "contact"}
    broken = {**document, "info": {**info, "contatc": {}}}
    (tmp_path / "asyncapi.json").write_text(json.dumps(broken))
    findings = findings_of(tmp_path / "asyncapi.json", tmp_path)
    assert ["info", "contatc"] in [finding["path"] for finding in findings]


def test_they_read_each_event_of_whole_lives(shop: Shop, broker: Broker, models: ModuleType) -> None:
    orders = {whole_life(shop)["id"], cancelled_life(shop)["id"]}
    for order_id in orders:
        broker.told(order_id, "PedidoEntregado" if shop.order(order_id)["status"] == "delivered" else "PedidoCancelado")
    heard = [each for each in list(broker.heard) if each.event["subject"] in orders]
    assert {message.routing_key for message in heard} == EVENT_TYPES
    for message in heard:
        event = model(models, message.routing_key).model_validate_json(message.body)
        assert str(event.data.order_id) == message.event["subject"]
        again = json.loads(event.data.model_dump_json(exclude_unset=True))
        assert again == message.event["data"], message.routing_key
        headers = model(models, "CloudEventHeaders").model_validate(message.headers)
        assert (headers.cloudEvents_id, headers.cloudEvents_subject) == (event.id, event.subject)


def test_they_write_each_event_that_is_consumed(models: ModuleType) -> None:
    for name in CONSUMED:
        assert {"specversion", "id", "source", "type", "time", "data"} <= set(model(models, name).model_fields)


def test_each_class_has_the_name_of_what_it_is(models: ModuleType, document: dict[str, Any]) -> None:
    """A class for each place where a thing is used would be ``Item``, ``Item1``, ``Item2``, and one without a name ``Model``."""
    made = {name for name, each in vars(models).items() if getattr(each, "__module__", "") == models.__name__}
    made = {name for name in made if name.isidentifier()}  # pydantic keeps RootModel[…] beside what is made of it
    named = set(document["components"]["schemas"])
    # The generator makes these two of each message; they only lead to a class that has a name.
    led_to = {f"{name}{part}" for name in document["components"]["messages"] for part in ("Payload", "Headers")}
    assert named <= made <= named | led_to
