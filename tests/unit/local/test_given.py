from pathlib import Path

import pytest

from local.errors import NotReady
from local.given import check_given, given_urls, host_and_port
from settings import Settings


def test_only_what_was_given_is_listed() -> None:
    config = Settings(redis_url="redis://:x@cache:6380/1", ray_address="10.0.0.1:6379")  # type: ignore[arg-type]
    assert given_urls(config) == {"REDIS_URL": "redis://:x@cache:6380/1", "RAY_ADDRESS": "ray://10.0.0.1:6379"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@db.example/orders", ("db.example", 5432)),
        ("amqp://u:p@mq:5673/vhost", ("mq", 5673)),
        ("amqps://mq", ("mq", 5671)),
        ("redis://:p@127.0.0.1", ("127.0.0.1", 6379)),
        ("https://products.example/api", ("products.example", 443)),
        ("http://[::1]:8080/x", ("::1", 8080)),
    ],
)
def test_a_url_without_a_port_means_the_usual_one(url: str, expected: tuple[str, int]) -> None:
    assert host_and_port(url) == expected


def test_a_port_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="could not be cast"):
        host_and_port("redis://cache:port/0")


async def test_a_key_set_that_is_a_file_has_to_be_one_that_can_be_read(tmp_path: Path) -> None:
    """Every token was refused, and everything else said that all is well."""
    path = tmp_path / "keys.json"
    for location in (str(path), f"file://{path}"):
        with pytest.raises(NotReady, match=f"ORDERSVC_JWKS_URL: no file can be read at {path}"):
            await check_given({"JWKS_URL": location})
    path.write_text("{}")
    await check_given({"JWKS_URL": str(path)})
    await check_given({"JWKS_URL": f"file://{path}"})
