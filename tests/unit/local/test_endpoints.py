from pathlib import Path

import pytest

from local.endpoints import announcement, endpoints, url_of, write_endpoints
from local.errors import LocalError

ENVIRONMENT = {
    "ORDERSVC_AMQP_URL": "amqp://u:secret-1@127.0.0.1:1/",
    "ORDERSVC_DATABASE_URL": "postgresql://u:secret-2@127.0.0.1:2/d",
    "ORDERSVC_REDIS_URL": "redis://:secret-3@127.0.0.1:3/0",
    "ORDERSVC_RAY_ADDRESS": "127.0.0.1:4",
    "ORDERSVC_PRODUCT_URL": "http://127.0.0.1:5/product",
    "ORDERSVC_PAYMENT_URL": "http://127.0.0.1:5/payment",
    "ORDERSVC_USER_URL": "http://127.0.0.1:5/user",
    "ORDERSVC_JWT_KEY": "secret-4",
}


def found() -> dict[str, str]:
    return endpoints(
        ENVIRONMENT, api="http://127.0.0.1:8000", token="t0ken", ray_dashboard="http://127.0.0.1:6", ray_token_file="/f"
    )


def test_the_file_has_exactly_the_keys_of_the_contract() -> None:
    assert list(found()) == [
        *("api", "amqp", "database", "redis", "ray_dashboard", "ray_address", "product", "payment", "user", "token"),
        "ray_token_file",
    ]


def test_the_terminal_shows_the_token_and_no_password() -> None:
    text = announcement(found(), Path("/state"), 9.87)
    assert "t0ken" in text
    assert "ready after 9.9 s" in text
    assert "secret" not in text


def test_a_server_is_where_a_setting_says_or_else_where_the_running_service_has_it(tmp_path: Path) -> None:
    write_endpoints(tmp_path, found())
    assert url_of("", tmp_path, "amqp", "RabbitMQ") == ENVIRONMENT["ORDERSVC_AMQP_URL"]
    assert url_of("amqp://elsewhere/", tmp_path, "amqp", "RabbitMQ") == "amqp://elsewhere/"


@pytest.mark.parametrize("content", [None, "[]", "{}", "{"])
def test_where_nothing_says_where_a_server_is_the_error_names_the_file_and_the_variable(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "endpoints.json").write_text(content)
    with pytest.raises(LocalError, match=r"endpoints\.json does not say where PostgreSQL is.*ORDERSVC_DATABASE_URL"):
        url_of("", tmp_path, "database", "PostgreSQL")
