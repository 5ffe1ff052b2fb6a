"""The yardstick of ``create``: a FastAPI route with the same body and models that does nothing but validate and answer.

``python -m benchmarks.bare PORT``: uvicorn, one process, loopback. It answers with a document of an order's size, encoded
the fastest way there is, so that it is not made slow to make us look good.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from urllib.request import urlopen
from uuid import uuid4

import msgspec
import uvicorn
from fastapi import FastAPI, Response

from api.shapes.schemas import NewOrder
from benchmarks.traffic import order_document
from local.state import is_free

PORT_FIRST = 18_900
PORT_LAST = 18_999
START_TIMEOUT_S = 30.0
POLL_S = 0.05

app = FastAPI()


@app.post("/api/orders", status_code=HTTPStatus.CREATED)
async def create(order: NewOrder) -> Response:
    """Validate the body and answer as if there were an order."""
    document = order_document(str(uuid4()), 1, "created", lines=len(order.items))
    return Response(msgspec.json.encode(document), HTTPStatus.CREATED, media_type="application/json")


@contextlib.contextmanager
def started() -> Iterator[str]:
    """Start it in a process of its own; give its base URL."""
    port = next(port for port in range(PORT_FIRST, PORT_LAST) if is_free(port))
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare", str(port)])  # noqa: S603  ourselves
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the bare route did not start")
            time.sleep(POLL_S)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/openapi.json", timeout=1):  # noqa: S310  our own loopback address
            return True
    except OSError:
        return False


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
