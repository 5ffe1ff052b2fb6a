"""The operators' page has every setting with its default, and no other."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from settings import SECRETS, Settings, WrongSettings, look_at_names, release, settings, settings_of_process

PAGE = Path(__file__).resolve().parents[2] / "docs/operations.md"
ROW = re.compile(r"^\| `ORDERSVC_(\w+)` \| (?:`(.*?)`)? *\| (\S.*) \|$", re.MULTILINE)


def written(value: object) -> str:
    """A default as the page writes it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
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


@pytest.mark.parametrize(
    "place", ["http://", "https://[", "htps://identity.example/keys", "ftp://identity.example", "http://h:99999/"]
)
def test_a_key_set_is_a_file_or_behind_a_url(place: str) -> None:
    """A misspelt scheme was taken for the name of a file: the service ran, and no token was ever good."""
    with pytest.raises(ValidationError, match="jwks_url"):
        Settings(jwks_url=place, jwt_issuer="us", jwt_audience="ordersvc")


@pytest.mark.parametrize("place", ["keys.json", "/etc/keys.json", "file:///etc/keys.json", "http://[::1]:80/keys"])
def test_a_key_set_may_be_in_a_file(place: str) -> None:
    assert Settings(jwks_url=place, jwt_issuer="us", jwt_audience="ordersvc").jwks_url == place


@pytest.mark.parametrize("text", ["8000", "8000.0", "8e3", "08000"])
def test_numbers_are_equal_by_value(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert wrong(monkeypatch, HTTP_PORT=text, PAYMENT_WINDOW_S=text) == []
    assert (Settings().http_port, Settings().payment_window_s) == (8000, 8000)


def wrong(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """What is said of these variables (without their prefix), a line each; nothing where they are all right."""
    for name in [each for each in os.environ if each.startswith("ORDERSVC_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(f"ORDERSVC_{name}", value)
    settings.cache_clear()
    try:
        settings()
    except WrongSettings as refusal:
        return str(refusal).splitlines()
    finally:
        settings.cache_clear()
    return []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHIPPING_TAX_RATE", "21"),
        ("SHIPPING_TAX_RATE", "-0.1"),
        ("SHIPPING_TAX_RATE", "NaN"),
        ("SHIPPING_TAX_RATE", "a fifth"),
        ("SHIPPING_PRICES", "{"),
        ("SHIPPING_PRICES", "[]"),
        ("SHIPPING_PRICES", '{"express": {"EUR": 1}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": -1}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": 4.9}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": "490"}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": true}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": 9007199254740992}}'),
        ("SHIPPING_PRICES", '{"standard": {"euro": 490}}'),
        ("SHIPPING_PRICES", "[" * 100_000),
        ("HTTP_PORT", "abc"),
        ("HTTP_PORT", "0"),
        ("HTTP_PORT", "70000"),
        ("HTTP_PORT", "-1"),
        ("HTTP_HOST", "[::1]"),
        ("HTTP_HOST", "a host"),
        ("SHARDS", "0"),
        ("SHARDS", "2.5"),
        ("API_PROCESSES", "1000"),
        ("LOG_LEVEL", "LOUD"),
        ("JWT_KEY", "short"),
        ("LINK_SECRET", "short"),
        ("CELL", "no cell"),
        ("DATABASE_URL", "mysql://somebody:secret@host/orders"),
        ("DATABASE_URL", "postgresql:///orders"),
        ("AMQP_URL", "http://host"),
        ("REDIS_URL", "localhost:6379"),
        ("PAYMENT_URL", "payments.example"),
        ("PRODUCT_URL", "http://products.example:port"),
        ("PAYMENT_WINDOW_S", "0"),
        ("PAYMENT_WINDOW_S", "1e300"),
        ("PAYMENT_SETTLE_S", "inf"),
        ("ASK_TIMEOUT_S", "nan"),
        ("FLUSH_MAX_ORDERS", "0"),
        ("PRODUCT_CACHE_S", "-1"),
        ("DEDICATED_POLICY", "many"),
        ("DEDICATED_CUSTOMERS", "c-1001"),
        ("DEDICATED_CUSTOMERS", '["c-1001", 7]'),
        ("RATE_LIMIT_PER_MIN", "-1"),
        ("HTTP_PORT", "8_000"),
        ("HTTP_PORT", " 8000"),
        ("HTTP_PORT", "+8000"),
        ("HTTP_PORT", "\u0668\u0660\u0660\u0660"),
        ("HTTP_PORT", "8000\n"),
        ("HTTP_PORT", "9" * 5000),
        ("RATE_LIMIT_PER_MIN", "6_000"),
        ("DEDICATED_MIN_TOTAL", "1_0"),
        ("PAYMENT_WINDOW_S", "1_800"),
        ("PAYMENT_WINDOW_S", " 1800"),
        ("PAYMENT_WINDOW_S", "1e400"),
        ("SHIPPING_TAX_RATE", "0_1"),
        ("SHIPPING_TAX_RATE", "\u0660.\u0662\u0661"),
        ("SHIPPING_PRICES", '{"standard": {}}'),
        ("SHIPPING_PRICES", '{"standard": {"EUR": 490}, "express": {}}'),
        ("PRODUCT_URL", "http://products.example/v1?a=b"),
        ("PAYMENT_URL", "http://payments.example/#"),
        ("USER_URL", "http://users example/"),
        ("USER_URL", "http://users.example\n"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """`SHIPPING_TAX_RATE=21` used to be taken: no order was ever validated, and nothing said why."""
    (line,) = wrong(monkeypatch, **{name: value})
    assert line.startswith(f"ORDERSVC_{name}: ")
    assert "secret" not in line


def test_the_metrics_have_a_port_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, METRICS_PORT="9100") == []
    (line,) = wrong(monkeypatch, METRICS_PORT="8000")
    assert line == "ORDERSVC_METRICS_PORT: is ORDERSVC_HTTP_PORT as well"


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = wrong(monkeypatch, HTTP_PORT="abc", SHIPPING_PRICES="{", PAYMENT_WINDOW="5", SHARDS="none")
    assert [line.split(":")[0] for line in lines] == [
        "ORDERSVC_PAYMENT_WINDOW",
        "ORDERSVC_HTTP_PORT",
        "ORDERSVC_SHARDS",
        "ORDERSVC_SHIPPING_PRICES",
    ]


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`STATE_DIR=` used to make the project's own folder the state folder."""
    assert wrong(monkeypatch, **{name.upper(): ""}) == []
    monkeypatch.setenv(f"ORDERSVC_{name.upper()}", "")
    assert getattr(Settings(), name) == getattr(Settings.model_construct(), name)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PAYMENT_WINDOW", "PAYMENT_WINDOW_S"),
        ("HTTP_PROT", "HTTP_PORT"),
        ("HTTPPORT", "HTTP_PORT"),
        ("JWT_KEYS", "JWT_KEY"),
        ("SHARD", "SHARDS"),
        ("shards_", "SHARDS"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    (line,) = wrong(monkeypatch, **{misspelt: "5"})
    assert line.startswith(f"ORDERSVC_{misspelt}: ")
    assert f"ORDERSVC_{meant} " in line


@pytest.mark.parametrize("variable", ["ordersvc_http_port", "ORDERSVC_http_port", "ordersvc_jwt_key_file"])
def test_a_setting_in_small_letters_is_refused(variable: str) -> None:
    """Some of them had an effect and some had none."""
    (line,), _ = look_at_names({variable: "5"})
    assert line == f"{variable}: settings are written in capitals, {variable.upper()}"


@pytest.mark.parametrize(
    "text",
    ["https://a.example http://b:8080", "https://a.example,http://b:8080", '["https://a.example", "http://b:8080"]'],
)
def test_origins_are_a_list_of_words_or_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ORDERSVC_CORS_ORIGINS", text)
    assert Settings().cors_origins == ["https://a.example", "http://b:8080"]


@pytest.mark.parametrize("text", ["*", "a.example", "https://a.example/", "https://a.example/path", "ftp://a"])
def test_an_origin_is_written_as_browsers_do(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ORDERSVC_CORS_ORIGINS", text)
    with pytest.raises(ValidationError):
        Settings()


def test_shipping_prices_are_in_currencies_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = wrong(monkeypatch, SHIPPING_PRICES='{"standard": {"ERU": 490}}')
    assert line == "ORDERSVC_SHIPPING_PRICES: ERU of the method 'standard' is no ISO 4217 currency"
    assert wrong(monkeypatch, SHIPPING_PRICES='{"standard": {"KWD": 490}}') == []


def test_variables_of_others_are_let_be_and_unknown_ones_are_warned_about() -> None:
    others = {
        "ORDERSVC_PORT": "tcp://10.0.0.1:80",
        "ORDERSVC_PORT_80_TCP_PORT": "80",
        "ORDERSVC_SERVICE_HOST": "10.0.0.1",
        "ORDERSVC_TEST_DATABASE_URL": "postgresql://host/tests",
        "PATH": "/bin",
    }
    assert look_at_names(others) == ([], [])
    refused, warnings = look_at_names(others | {"ORDERSVC_COLOUR_OF_THE_DOOR": "red"})
    assert refused == []
    assert [line.split(":")[0] for line in warnings] == ["ORDERSVC_COLOUR_OF_THE_DOOR"]


def test_a_retired_setting_is_warned_about_and_not_taken_for_a_misspelt_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settings.RETIRED", frozenset({"SHARDZ"}))
    assert look_at_names({"ORDERSVC_SHARDZ": "3"}) == ([], ["ORDERSVC_SHARDZ: this setting does nothing any more"])


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str) -> None:
    (tmp_path / "key").write_text(f"{'k' * 32}{end}")
    assert wrong(monkeypatch, JWT_KEY_FILE=str(tmp_path / "key")) == []
    assert settings().jwt_key.get_secret_value() == "k" * 32
    settings.cache_clear()


@pytest.mark.parametrize("name", ["DATABASE_URL", "AMQP_URL", "REDIS_URL", "JWT_KEY", "LINK_SECRET"])
def test_every_secret_setting_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Of each of them, a wrong value in the file is told by the variable of the file, and not shown."""
    (tmp_path / "value").write_text("hunter2")
    (line,) = wrong(monkeypatch, **{f"{name}_FILE": str(tmp_path / "value")})
    assert line.startswith(f"ORDERSVC_{name}_FILE: ")
    assert "hunter2" not in line
    assert name.lower() in SECRETS


def test_a_file_that_cannot_be_used_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key"
    variable = {"JWT_KEY_FILE": str(path)}
    assert wrong(monkeypatch, **variable) == [f"ORDERSVC_JWT_KEY_FILE: {path} can't be read: No such file or directory"]
    path.write_text("\n")
    assert wrong(monkeypatch, **variable) == [f"ORDERSVC_JWT_KEY_FILE: {path} is empty"]
    path.write_bytes(b"\xff" * 40)
    assert wrong(monkeypatch, **variable) == [f"ORDERSVC_JWT_KEY_FILE: {path} can't be read: it is no text"]
    path.write_text("k" * 100_000)
    assert wrong(monkeypatch, **variable) == [f"ORDERSVC_JWT_KEY_FILE: {path} has more than 65536 characters"]
    path.write_text("k" * 40)
    (line,) = wrong(monkeypatch, **variable, JWT_KEY="k" * 40)
    assert line == "ORDERSVC_JWT_KEY_FILE: ORDERSVC_JWT_KEY is set as well, and only one of them may be"


def test_only_secrets_have_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_at_names({"ORDERSVC_JWT_KEY_FILE": "/key"}) == ([], [])
    (line,) = look_at_names({"ORDERSVC_HTTP_HOST_FILE": "/host"})[1]
    assert line.startswith("ORDERSVC_HTTP_HOST_FILE: ")


def test_a_process_says_which_settings_it_lacks_and_takes_them_when_they_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {
        "DATABASE_URL": "postgresql://host/orders",
        "AMQP_URL": "amqp://host",
        "REDIS_URL": "redis://host",
    }
    assert wrong(monkeypatch, **given) == []
    with pytest.raises(WrongSettings, match="ORDERSVC_LINK_SECRET: is not set, nor is its _FILE"):
        settings_of_process()
    (tmp_path / "secret").write_text("l" * 32)
    monkeypatch.setenv("ORDERSVC_LINK_SECRET_FILE", str(tmp_path / "secret"))
    assert settings_of_process().link_secret.get_secret_value() == "l" * 32
    settings.cache_clear()


def test_the_release_is_the_version_of_the_project() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", release())
