import pytest

from local.given import given_urls, host_and_port
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
