"""How the service is: alive, ready, and its metrics.

Open to all but the metrics, which want a scope of their own (``metrics_port.py`` shows them without a token).
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST

from api.auth import METRICS_READ
from api.door import Door
from api.exchange import Answer, Incoming, json_answer
from api.ports import FiguresPort, HealthPort
from api.problems import retry_after
from api.reading import encode

NEEDED = ("postgresql", "shards")


class HealthEndpoints:
    """The handlers of ``/health/live``, ``/health/ready`` and ``/metrics``."""

    def __init__(self, door: Door, health: HealthPort, figures: FiguresPort) -> None:
        self._door = door
        self._health = health
        self._figures = figures

    async def live(self, asked: Incoming) -> Answer:  # noqa: ARG002 - it answers, that is all
        """The process answers."""
        return json_answer(200, b'{"status":"ok"}')

    async def ready(self, asked: Incoming) -> Answer:  # noqa: ARG002 - nothing of the request matters
        """200 while orders can be taken, degraded or not; 503 without PostgreSQL or any shard."""
        found = await self._health.check()
        down = [name for name, health in found.items() if health.status != "ok"]
        is_ready = not any(name in NEEDED for name in down)
        dependencies = {
            name: {"status": health.status, "latency_ms": round(health.latency_ms, 2)}
            | ({"detail": health.detail} if health.detail else {})
            for name, health in found.items()
        }
        status = ("degraded" if down else "ok") if is_ready else "unavailable"
        document = encode({"status": status, "dependencies": dependencies})
        return json_answer(200, document) if is_ready else json_answer(503, document, retry_after(2.0))

    async def metrics(self, asked: Incoming) -> Answer:
        """Prometheus text, of all processes of the API together."""
        await self._door.admit(asked, METRICS_READ)
        return Answer(200, await self._figures.text(), [(b"content-type", CONTENT_TYPE_LATEST.encode())])
