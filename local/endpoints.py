"""Where everything is, once it runs: for other programs as ``endpoints.json``, for a person as a few lines of text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from local.errors import LocalError
from local.state import write_private

FILE_NAME = "endpoints.json"


def endpoints(
    environment: Mapping[str, str], *, api: str, token: str, ray_dashboard: str, ray_token_file: str
) -> dict[str, str]:
    """The content of the file; docs/contract.md names its keys. ``environment`` is that of the service's processes."""
    return {
        "api": api,
        "amqp": environment["ORDERSVC_AMQP_URL"],
        "database": environment["ORDERSVC_DATABASE_URL"],
        "redis": environment["ORDERSVC_REDIS_URL"],
        "ray_dashboard": ray_dashboard,
        "ray_address": environment["ORDERSVC_RAY_ADDRESS"],
        "product": environment["ORDERSVC_PRODUCT_URL"],
        "payment": environment["ORDERSVC_PAYMENT_URL"],
        "user": environment["ORDERSVC_USER_URL"],
        "token": token,
        "ray_token_file": ray_token_file,
    }


def write_endpoints(folder: Path, found: Mapping[str, str]) -> None:
    """Write the file whole, for its owner only: it holds passwords."""
    write_private(folder / FILE_NAME, json.dumps(dict(found), indent=1) + "\n")


def url_of(given: str, folder: Path, key: str, what: str) -> str:
    """Give the URL that a setting gives, else that of the running service whose state ``folder`` is. Raises ``LocalError``.

    ``key`` is that of ``what`` in the file.
    """
    path = folder / FILE_NAME
    try:
        return given or str(json.loads(path.read_text())[key])
    except (OSError, ValueError, KeyError, TypeError) as error:
        variable = f"ORDERSVC_{key.upper()}_URL"
        raise LocalError(
            f"{path} does not say where {what} is; is the service running (./dev run)? {variable} names another one"
        ) from error


def remove_endpoints(folder: Path) -> None:
    """What is not running is nowhere."""
    (folder / FILE_NAME).unlink(missing_ok=True)


def announcement(found: Mapping[str, str], folder: Path, took_s: float) -> str:
    """What a person is told who has just started all this. Passwords are only in the file."""
    api = found["api"]
    example = '{"customer_id": "c-1001", "currency": "EUR", "items": [{"sku": "sku-coffee", "quantity": 2}]}'
    return f"""
OrderSvc is ready after {took_s:.1f} s

  API            {api}   (its documents: {api}/docs)
  Ray dashboard  {found["ray_dashboard"]}   (asks for a token: cat {found["ray_token_file"]})
  partners       {found["product"]}  {found["payment"]}  {found["user"]}
  everything     {folder / FILE_NAME}   (with passwords, for you only)
  logs           {folder}/*.log

An administrator's token (others: ./dev token --help), and a first order:

  TOKEN={found["token"]}
  curl -i {api}/api/orders -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: first" -H "Prefer: wait=5" \\
       -H "Content-Type: application/json" -d '{example}'

Ctrl-C stops all of it; the data stays.
"""
