"""The operators' page has every setting with its default, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

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


@pytest.mark.parametrize("given", [{}, {"jwt_issuer": "us"}, {"jwt_audience": "ordersvc"}])
def test_a_key_set_needs_an_issuer_and_an_audience(given: dict[str, Any]) -> None:
    """Without them any token of the identity provider was good here, an administrator's of another service too."""
    with pytest.raises(ValidationError) as caught:
        Settings(jwks_url="https://identity.example/keys", **given)
    text = str(caught.value)
    for name in ("jwt_issuer", "jwt_audience"):
        assert (f"ORDERSVC_{name.upper()}" in text) == (name not in given)
    assert Settings(jwks_url="https://identity.example/keys", jwt_issuer="us", jwt_audience="ordersvc").jwks_url
