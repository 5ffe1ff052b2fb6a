import jwt
import pytest

from local.tokens import make_token

KEY = "k" * 32


def claims_of(token: str, **checks: str) -> dict[str, object]:
    return jwt.decode(token, KEY, algorithms=["HS256"], **checks)  # type: ignore[arg-type]


def test_a_token_says_who_may_do_what_and_until_when() -> None:
    claims = claims_of(make_token(KEY, scope="orders:read orders:write", subject="ana", ttl_s=60))
    assert claims["sub"] == "ana"
    assert claims["scope"] == "orders:read orders:write"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 60
    assert not claims.keys() & {"customer_id", "iss", "aud"}


def test_a_token_can_be_a_customers() -> None:
    assert claims_of(make_token(KEY, scope="orders:read", customer="c-1001"))["customer_id"] == "c-1001"


def test_issuer_and_audience_are_there_where_the_service_checks_them() -> None:
    token = make_token(KEY, scope="admin", issuer="us", audience="ordersvc")
    claims = claims_of(token, issuer="us", audience="ordersvc")
    assert claims["iss"] == "us"


def test_a_token_of_the_past_is_worth_nothing() -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        claims_of(make_token(KEY, scope="admin", ttl_s=-1))
