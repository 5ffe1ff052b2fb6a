import pytest

from loadtests.addresses import NotLoopback, base_of, require_loopback


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1/x", "http://[::1]:80"])
def test_load_may_go_to_this_machine(url: str) -> None:
    assert require_loopback(url) == url


@pytest.mark.parametrize("url", ["http://192.168.0.1", "https://shop.example.org", "http://127.0.0.1.example.org", ""])
def test_load_may_go_nowhere_else(url: str) -> None:
    with pytest.raises(NotLoopback):
        require_loopback(url)


def test_the_base_of_a_url_has_no_path() -> None:
    assert base_of("http://127.0.0.1:9000/payment?x=1") == "http://127.0.0.1:9000"
