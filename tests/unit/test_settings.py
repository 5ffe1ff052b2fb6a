"""The operators' page has every setting with its default, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import SecretStr

from settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"
ROW = re.compile(r"^\| `ORDERSVC_(\w+)` \| (?:`(.*?)`)? *\| (\S.*) \|$", re.MULTILINE)


def written(value: object) -> str:
    """A default as the page writes it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def test_the_operators_page_has_every_setting_with_its_default() -> None:
    told = [(name, default) for name, default, _ in ROW.findall(PAGE.read_text())]
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    assert told == [(name.upper(), written(default)) for name, default in defaults.items()]
