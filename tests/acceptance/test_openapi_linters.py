"""Linters that client teams use find nothing in ``/openapi.json`` but what ``tests/tools/openapi-tools`` gives a reason for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools.openapi import redocly_findings, spectral_findings


@pytest.fixture
def file(document: Any, tmp_path: Path) -> Path:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    return file


def test_spectral_finds_nothing(file: Path) -> None:
    assert spectral_findings(file) == []


def test_redocly_finds_nothing(file: Path) -> None:
    assert redocly_findings(file) == []


def test_what_is_left_out_is_found(document: Any, file: Path) -> None:
    broken = json.loads(json.dumps(document))
    operation = broken["paths"]["/health/live"]["get"]
    del operation["description"]
    operation["responses"] = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    file.write_text(json.dumps(broken))
    assert [finding["code"] for finding in spectral_findings(file)] == ["operation-description"]
    assert [finding["ruleId"] for finding in redocly_findings(file)] == ["operation-4xx-response"]
