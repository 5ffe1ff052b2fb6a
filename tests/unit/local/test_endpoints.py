from pathlib import Path

from local.endpoints import announcement, endpoints

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
