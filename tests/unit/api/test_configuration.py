from __future__ import annotations

import pytest
from pydantic import SecretStr

from api.configuration import authenticator_of, limits_of, metrics_folder
from settings import Settings

SECRET = "a key that is long enough for HS256, and for nothing else"


def test_what_earlier_releases_signed_is_read_with_the_secret_that_they_had() -> None:
    one, two = (limits_of(Settings(jwt_key=SecretStr(SECRET))).cursor_secrets for _ in range(2))
    assert one == two
    assert limits_of(Settings(jwt_key=SecretStr(SECRET + "!"))).cursor_secrets != one


def test_without_any_key_the_start_fails() -> None:
    with pytest.raises(ValueError, match="ORDERSVC_JWT_KEY"):
        authenticator_of(Settings(jwt_key=SecretStr(""), jwks_url=""))


def test_figures_go_into_files_only_when_processes_share_them() -> None:
    assert metrics_folder(Settings(api_processes=1)) is None
    assert metrics_folder(Settings(api_processes=2)) is not None
