"""The only reader of the environment: every setting, its default, its unit, the range it must lie in.

Variables have the prefix ``ORDERSVC_`` (docs/contract.md); an empty one is one that is not set. A secret may be in a file, which
``ORDERSVC_<NAME>_FILE`` names. A URL that is given is used as it stands; ``./dev run`` fills in the ones that are not. Everything is
checked before anything is started: see ``settings``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from babel.numbers import list_currencies
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from actors.routing.router import RouterLimits
from actors.shard.shard import ShardPolicy
from domain.limits import AMOUNT_MAX_MINOR
from domain.money import fraction
from domain.numbers import number
from messaging.consuming.consumer import ConsumerLimits
from messaging.publishing.publisher import PublisherLimits
from partners.resilient_client import ResilienceLimits as BulkheadLimits
from sagas.decision import OrderRules
from storage.postgres import PoolLimits

PREFIX = "ORDERSVC_"
FOREIGN = ("TEST_", "SERVICE_", "PORT")  # for the tests; and what Kubernetes sets beside a service of this name
# Settings of the release before: they do nothing, and are warned about.
RETIRED = frozenset({"ROUTER_BATCH_MAX_MESSAGES", "ROUTER_CALLS_IN_FLIGHT_MAX", "ROUTER_QUEUE_MAX_MESSAGES"})
ALIKE_MAX_LETTERS = 2
FILE = "_FILE"  # behind the name of a secret setting: the variable that names the file with its value
SECRET_MIN_BYTES = 32
SECRET_FILE_MAX_CHARACTERS = 65_536
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)

# What a bound is where nothing is set stands with the part that keeps it.
_rules = OrderRules()
_shard = ShardPolicy()
_router = RouterLimits()
_pool = PoolLimits()
_publisher = PublisherLimits()
_bridge = ConsumerLimits()
_bulkhead = BulkheadLimits()

P = TypeVar("P")


def _from_json(value: object) -> object:
    """Read a setting that is JSON; what is none is reported with its variable like any other wrong value."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def _words(value: object) -> object:
    """Read a setting that is a list of words, as JSON or with blanks or commas between them."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return _from_json(value)
    return re.split(r"[\s,]+", value.strip())


def _rate(text: str) -> str:
    fraction(text)
    return text


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if not HOST_NAME.fullmatch(text):
            raise ValueError("is neither an IP address (IPv6 without brackets) nor a host name") from None
    return text


def _known_currencies(prices: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    known = list_currencies()
    for method, of_method in prices.items():
        for currency in of_method:
            if currency not in known:
                raise ValueError(f"{currency} of the method {method!r} is no ISO 4217 currency")
    return prices


def _has_standard(prices: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    if "standard" not in prices:
        raise ValueError("has no method 'standard', which is used where an order names none")
    return prices


def _long_enough(key: SecretStr) -> SecretStr:
    if key.get_secret_value() and len(key.get_secret_value().encode()) < SECRET_MIN_BYTES:
        raise ValueError(f"is shorter than {SECRET_MIN_BYTES} bytes")
    return key


def _location(text: str) -> str:
    if "://" in text and not text.startswith("file://"):
        _Url("http", "https")(text)
    return text


class _Url:
    """Checks that a URL has one of these schemes and names a host; its text is never shown, since it may hold a password.

    ``is_base``: paths are put behind it, so it has no blanks, query or fragment.
    """

    def __init__(self, *schemes: str, is_base: bool = False) -> None:
        self._schemes = schemes
        self._is_base = is_base

    def __call__(self, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text:
            try:
                parts = urlsplit(text)
                is_good = parts.scheme in self._schemes and bool(parts.hostname) and parts.port != 0
                is_good = is_good and not (self._is_base and re.search(r"[\s?#]", text))
            except ValueError:
                is_good = False
            if not is_good:
                raise ValueError(f"must be a URL that begins with {' or '.join(self._schemes)}:// and names a host")
        return value


# As a browser writes it: no path, no slash at the end, the port only where it is not the scheme's own.
Origin = Annotated[str, Field(pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$")]
PartnerUrl = Annotated[str, AfterValidator(_Url("http", "https", is_base=True))]
Port = Annotated[int, Field(ge=1, le=65_535)]
Rate = Annotated[str, AfterValidator(_rate)]
Host = Annotated[str, AfterValidator(_host)]
Price = Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MAX_MINOR)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
Method = Annotated[str, Field(min_length=1, max_length=40)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Wait = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]  # seconds
LongWait = Annotated[float, Field(gt=0, le=366 * 86_400, allow_inf_nan=False)]  # seconds, what orders wait for
Age = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]  # seconds; 0: nothing is kept


class Settings(BaseSettings):
    """One frozen value, handed to what needs it; names end in their unit."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    # Where the others are. Secrets are in the URLs, so they are never shown.
    database_url: Annotated[SecretStr, AfterValidator(_Url("postgresql", "postgres"))] = SecretStr("")
    amqp_url: Annotated[SecretStr, AfterValidator(_Url("amqp", "amqps"))] = SecretStr("")
    redis_url: Annotated[SecretStr, AfterValidator(_Url("redis", "rediss"))] = SecretStr("")
    product_url: PartnerUrl = ""
    payment_url: PartnerUrl = ""
    user_url: PartnerUrl = ""
    ray_address: str = ""
    cell: str = Field(default="main", pattern="^[a-z0-9-]{1,40}$")
    link_secret: Annotated[SecretStr, AfterValidator(_long_enough)] = SecretStr("")
    http_host: Host = "127.0.0.1"
    http_port: Port = 8000
    metrics_host: Host = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    api_processes: int = Field(default=1, ge=1, le=64)
    shards: int = Field(default=2, ge=1, le=1024)
    shards_serving: int = Field(default=0, ge=0, le=1024)  # 0: one for two cores; the others stand by
    state_dir: Path = Path(".state")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    failpoints_dir: str = ""

    # Who may come in.
    jwt_key: Annotated[SecretStr, AfterValidator(_long_enough)] = SecretStr("")
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwks_url: Annotated[str, AfterValidator(_location)] = ""
    rate_limit_per_min: int = Field(default=6000, ge=0, le=1_000_000_000)
    cors_origins: Annotated[list[Origin], NoDecode, BeforeValidator(_words)] = Field(default_factory=list)

    # The rules of the order.
    payment_window_s: LongWait = _rules.payment_window_s
    payment_settle_s: LongWait = _rules.payment_settle_s
    payment_watch_s: LongWait = _rules.payment_watch_s
    payment_attention_s: LongWait = _rules.payment_attention_s
    payment_attempts_max: int = Field(default=_rules.payment_attempts_max, ge=1, le=1000)
    payment_events_confirmed: bool = _rules.payment_events_confirmed
    shipping_prices: Annotated[
        dict[Method, Annotated[dict[Currency, Price], Field(min_length=1)]],
        NoDecode,
        BeforeValidator(_from_json),
        AfterValidator(_has_standard),
        AfterValidator(_known_currencies),
    ] = Field(default_factory=lambda: _rules.shipping_prices)
    shipping_tax_rate: Rate = _rules.shipping_tax_rate
    product_cache_s: Age = _shard.reference_cache.product_max_age_s
    customer_cache_s: Age = _shard.reference_cache.customer_max_age_s

    # Orders that get a Ray actor of their own: a minimum total (0: none), customers, or all of them.
    dedicated_policy: str = Field(default=_shard.dedicated.mode, pattern="^(none|some|all)$")
    dedicated_min_total: int = Field(default=_shard.dedicated.min_total, ge=0, le=AMOUNT_MAX_MINOR)
    dedicated_customers: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128)]], NoDecode, BeforeValidator(_from_json)
    ] = Field(default_factory=list)
    dedicated_max: int = Field(default=16, ge=0, le=100_000)

    # Bounds on what waits and for how long; each inner wait is shorter than the one around it.
    ask_timeout_s: Wait = _router.ask_timeout_s
    commit_timeout_s: Wait = _shard.commits.retry_for_s
    database_statement_timeout_s: Wait = _pool.statement_timeout_s
    database_connect_timeout_s: Wait = _pool.connect_timeout_s
    database_pool_max_connections: Count = _pool.max_connections
    rpc_max_calls: int = Field(default=8192, ge=1, le=65_536)
    mailbox_max_messages: Count = _shard.orders.mailbox_max_messages
    shard_queue_max_messages: Count = _shard.orders.queue_max_messages
    flush_max_orders: Count = _shard.commits.batch_max_orders
    actor_idle_s: Wait = _shard.orders.idle_s
    shard_resident_max_orders: Count = _shard.orders.resident_max_orders
    resume_max_orders_per_s: Count = _shard.resume_max_orders_per_s
    heartbeat_every_s: Wait = 0.5
    heartbeat_missed_max: Count = 4
    publisher_queue_max_events: Count = _publisher.queue_max_events
    publisher_confirms_in_flight_max: Count = _publisher.confirms_in_flight_max
    publisher_sweep_every_s: Wait = _shard.sweep_every_s
    bridge_prefetch_max_messages: Count = _bridge.prefetch_max_messages
    bridge_message_max_bytes: int = Field(default=_bridge.message_max_bytes, ge=1024, le=1_073_741_824)
    bridge_at_work_max_bytes: int = Field(default=_bridge.at_work_max_bytes, ge=1024, le=1_073_741_824)
    bridge_answer_max_s: Wait = _bridge.answer_max_s
    bulkhead_concurrency_max_calls: Count = _bulkhead.concurrency_max_calls
    bulkhead_queue_max_calls: Count = _bulkhead.queue_max_calls
    partner_call_timeout_s: Wait = 3.0
    partner_total_timeout_s: Wait = _bulkhead.total_timeout_s
    partner_attempts_max: Count = _bulkhead.attempts_max
    breaker_failures_max: Count = _bulkhead.breaker_failures_max
    breaker_reset_s: Wait = _bulkhead.breaker_reset_s
    inbox_keep_days: int = Field(default=7, ge=7, le=36_500)  # keys are kept 7 days (docs/contract.md, "Conventions")
    statistics_cache_s: Age = 5.0
    order_block_numbers: Count = _shard.order_block_numbers
    http_under_way_max_requests: Count = 1024
    request_body_max_bytes: Count = 262_144
    prefer_wait_max_s: Wait = 30.0

    def policy(self, kind: Callable[..., P], *prefixes: str, **given: object) -> P:
        """Make a policy of the settings that are named like its fields, behind one of the ``prefixes``, and of what is ``given``.

        A field that has neither is what ``kind`` says it is.
        """
        names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        found = {
            name: getattr(self, prefix + name)
            for name in names
            for prefix in prefixes
            if prefix + name in Settings.model_fields
        }
        return kind(**(found | given))

    @field_validator("*", mode="before")
    @classmethod
    def _is_plain(cls, value: object, info: ValidationInfo) -> object:
        """A number as JSON has it, equal by value: pydantic takes 8_000 for one too, and 8e3 for none."""
        is_number = cls.model_fields[str(info.field_name)].annotation in (int, float)
        if not is_number or not isinstance(value, str):
            return value
        if not NUMBER.fullmatch(value):
            raise ValueError("is not a number")
        return number(value)

    @field_validator("metrics_port")
    @classmethod
    def _is_another_port(cls, metrics_port: int, info: ValidationInfo) -> int:
        """Two servers can't have one."""
        if metrics_port and metrics_port == info.data.get("http_port"):
            raise ValueError("is ORDERSVC_HTTP_PORT as well")
        return metrics_port

    @field_validator("jwks_url")
    @classmethod
    def _is_for_us(cls, jwks_url: str, info: ValidationInfo) -> str:
        """An identity provider makes tokens for many services: those for others must not be good here."""
        missing = [name for name in ("jwt_issuer", "jwt_audience") if not info.data.get(name)]
        if jwks_url and missing:
            raise ValueError("needs " + " and ".join(f"ORDERSVC_{name.upper()}" for name in missing) + " beside it")
        return jwks_url


class WrongSettings(Exception):
    """Settings that nothing can be started with; the text names each by its variable, one a line, and shows no secret."""


SECRETS = tuple(name for name, field in Settings.model_fields.items() if field.annotation is SecretStr)
NEEDED_BY_PROCESSES = ("database_url", "amqp_url", "redis_url", "link_secret")


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the environment, and the files that it names, once a process. Raises ``WrongSettings``."""
    refused, _ = look_at_names(os.environ)
    from_files, unreadable = _read_files(os.environ)
    refused += unreadable
    config = None
    try:
        config = Settings(**from_files)
    except ValidationError as wrong:
        reasons: dict[str, list[str]] = {}
        for error in wrong.errors():
            name, *inside = map(str, error["loc"])
            variable = PREFIX + name.upper() + (FILE if name in from_files else "")
            reasons.setdefault(variable, []).append(": ".join([*inside, _reason(error)]))
        refused += [f"{variable}: {'; '.join(texts)}" for variable, texts in reasons.items()]
    if config is None or refused:
        raise WrongSettings("\n".join(refused))
    return config


def settings_of_process() -> Settings:
    """Read the environment of a process of the service, which needs all of ``NEEDED_BY_PROCESSES``. Raises ``WrongSettings``.

    They are read anew each time, since a secret's file may have been mended.
    """
    settings.cache_clear()
    config = settings()
    missing = [name for name in NEEDED_BY_PROCESSES if not getattr(config, name).get_secret_value()]
    if missing:
        raise WrongSettings("\n".join(f"{PREFIX}{name.upper()}: is not set, nor is its {FILE}" for name in missing))
    return config


def release() -> str:
    """The version of this build, as pyproject.toml has it."""
    project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def settings_or_exit() -> Settings:
    """The settings of a program. Where they are wrong it ends with exit code 2 and says so; unknown names are reported."""
    for line in look_at_names(os.environ)[1]:
        print(line, file=sys.stderr, flush=True)
    try:
        return settings()
    except WrongSettings as wrong:
        print(wrong, file=sys.stderr, flush=True)
        sys.exit(2)


def look_at_names(environment: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Lines about variables with our prefix that are no settings: those to refuse, as one is meant, and those to warn about."""
    known = {name.upper() for name in Settings.model_fields} | {name.upper() + FILE for name in SECRETS}
    refused, ignored = [], []
    for variable in sorted(environment):
        name = variable.upper().removeprefix(PREFIX)
        if (
            not variable.upper().startswith(PREFIX)
            or (name in known and variable.isupper())
            or name.startswith(FOREIGN)
        ):
            continue
        if name in known:
            refused.append(f"{variable}: settings are written in capitals, {PREFIX}{name}")
            continue
        meant = _alike(name, known)
        if name in RETIRED:
            ignored.append(f"{variable}: this setting does nothing any more")
        elif meant:
            refused.append(f"{variable}: there is no such setting; {PREFIX}{meant} is meant, perhaps")
        else:
            ignored.append(f"{variable}: there is no such setting; it is ignored")
    return refused, ignored


def _read_files(environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The secrets that are in files, by the names of their settings; and a line for each file that can't be used."""
    found: dict[str, Any] = {}
    refused = []
    for name in SECRETS:
        variable = PREFIX + name.upper()
        path = environment.get(variable + FILE)
        if not path:
            continue
        text, reason = _read_file(path)
        if environment.get(variable):
            reason = f"{variable} is set as well, and only one of them may be"
        if reason:
            refused.append(f"{variable}{FILE}: {reason}")
        else:
            found[name] = text
    return found, refused


def _read_file(path: str) -> tuple[str, str]:
    """The text of a file without the ends of lines behind it, and why it can't be used: empty where it can."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(SECRET_FILE_MAX_CHARACTERS + 1).rstrip("\r\n")
    except OSError as error:
        return "", f"{path} can't be read: {error.strerror}"
    except ValueError:
        return "", f"{path} can't be read: it is no text"
    if len(text) > SECRET_FILE_MAX_CHARACTERS:
        return "", f"{path} has more than {SECRET_FILE_MAX_CHARACTERS} characters"
    return text, "" if text else f"{path} is empty"


def _alike(name: str, known: Iterable[str]) -> str | None:
    """The setting that lies nearest to a name, if it lies within ``ALIKE_MAX_LETTERS``."""
    distance, nearest = min((_distance(name, each), each) for each in known)
    return nearest if distance <= ALIKE_MAX_LETTERS else None


def _distance(one: str, other: str) -> int:
    """How many letters have to be put in, taken out or changed to get from one text to the other."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != wanted))
    return row[-1]


def _reason(error: Mapping[str, Any]) -> str:
    """Why a value is wrong, in one line; the value itself may be secret."""
    return str(error["msg"]).removeprefix("Value error, ").replace("\n", " ")
