"""The only reader of the environment: every setting, its default, its unit.

Variables have the prefix ``ORDERSVC_`` (spec.md, "Settings"). A URL that is given is used as it stands; ``./dev run`` fills
in the ones that are not.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SHIPPING_PRICES_DEFAULT = {
    "standard": {"EUR": 490, "USD": 490, "GBP": 420, "JPY": 600, "KWD": 1500},
    "express": {"EUR": 980, "USD": 980, "GBP": 840, "JPY": 1200, "KWD": 3000},
}


class Settings(BaseSettings):
    """One frozen value, handed to whoever needs it; names end in their unit."""

    model_config = SettingsConfigDict(env_prefix="ORDERSVC_", frozen=True, extra="ignore")

    # Where the others are. Secrets are in the URLs, so they are never shown.
    database_url: SecretStr = SecretStr("")
    amqp_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    product_url: str = ""
    payment_url: str = ""
    user_url: str = ""
    ray_address: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    api_processes: int = Field(default=1, ge=1, le=64)
    shards: int = Field(default=2, ge=1, le=1024)
    state_dir: Path = Path(".state")
    log_level: str = "INFO"
    failpoints_dir: str = ""

    # Who may come in.
    jwt_key: SecretStr = SecretStr("")
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwks_url: str = ""
    rate_limit_per_min: int = Field(default=6000, ge=0)

    # The rules of the order.
    payment_window_s: float = Field(default=1800, gt=0)
    payment_settle_s: float = Field(default=60, gt=0)
    payment_watch_s: float = Field(default=86_400, gt=0)
    payment_attention_s: float = Field(default=3600, gt=0)
    payment_attempts_max: int = Field(default=20, ge=1, le=1000)
    payment_events_confirmed: bool = False
    shipping_prices: dict[str, dict[str, int]] = Field(default_factory=lambda: SHIPPING_PRICES_DEFAULT)
    shipping_tax_rate: str = "0.2100"
    product_cache_s: float = Field(default=30, ge=0)
    customer_cache_s: float = Field(default=30, ge=0)

    # Orders that get a Ray actor of their own: a minimum total (0: none), customers, or all of them.
    dedicated_policy: str = Field(default="none", pattern="^(none|some|all)$")
    dedicated_min_total: int = Field(default=0, ge=0)
    dedicated_customers: list[str] = Field(default_factory=list)
    dedicated_max: int = Field(default=16, ge=0)

    # Bounds on what waits and for how long; each inner wait is shorter than the one around it.
    ask_timeout_s: float = 10.0
    commit_timeout_s: float = 5.0
    database_statement_timeout_s: float = 4.0
    database_connect_timeout_s: float = 3.0
    database_pool_max_connections: int = 8
    router_queue_max_messages: int = 4096
    router_batch_max_messages: int = 256
    router_calls_in_flight_max: int = 2
    mailbox_max_messages: int = 64
    shard_queue_max_messages: int = 8192
    flush_max_orders: int = 256
    actor_idle_s: float = 300.0
    shard_resident_max_orders: int = 200_000
    resume_max_orders_per_s: int = 2000
    heartbeat_every_s: float = 0.5
    heartbeat_missed_max: int = 4
    publisher_queue_max_events: int = 50_000
    publisher_confirms_in_flight_max: int = 256
    publisher_sweep_every_s: float = 5.0
    bridge_prefetch_max_messages: int = 128
    bridge_message_max_bytes: int = Field(default=1_048_576, ge=1024)
    bridge_at_work_max_bytes: int = Field(default=16_777_216, ge=1024)
    bridge_answer_max_s: float = Field(default=60.0, gt=0)
    bulkhead_concurrency_max_calls: int = 64
    bulkhead_queue_max_calls: int = 4096
    partner_call_timeout_s: float = 3.0
    partner_total_timeout_s: float = 15.0
    partner_attempts_max: int = 3
    breaker_failures_max: int = 20
    breaker_reset_s: float = 2.0
    inbox_keep_days: int = Field(default=7, ge=7)  # keys are kept 7 days (spec.md, "Conventions")
    statistics_cache_s: float = 5.0
    order_block_numbers: int = Field(default=500, ge=1)
    http_under_way_max_requests: int = Field(default=1024, ge=1)
    request_body_max_bytes: int = 262_144
    prefer_wait_max_s: float = 30.0

    @field_validator("jwks_url")
    @classmethod
    def _is_for_us(cls, jwks_url: str, info: ValidationInfo) -> str:
        """An identity provider makes tokens for many services: those for others must not be good here."""
        missing = [name for name in ("jwt_issuer", "jwt_audience") if not info.data.get(name)]
        if jwks_url and missing:
            raise ValueError("needs " + " and ".join(f"ORDERSVC_{name.upper()}" for name in missing) + " beside it")
        return jwks_url


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Read the environment once a process. Raises ``pydantic.ValidationError`` naming the variable that is wrong."""
    return Settings()
