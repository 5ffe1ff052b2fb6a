from __future__ import annotations

from pydantic import SecretStr

from api.__main__ import command_of
from settings import Settings

SECRET = "a key that is long enough for HS256, and for nothing else"


def test_the_command_line_has_the_address_and_no_secret() -> None:
    config = Settings(http_host="127.0.0.2", http_port=8123, api_processes=3, jwt_key=SecretStr(SECRET))
    command = " ".join(command_of(config))
    assert "--host 127.0.0.2 --port 8123 --workers 3" in command
    assert "--no-access-log" in command
    assert SECRET not in command
