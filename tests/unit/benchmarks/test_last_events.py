from types import SimpleNamespace
from typing import Any

from benchmarks.last_events import LastEvents


def message(order_id: str) -> Any:
    return SimpleNamespace(body=b'{"type":"PedidoEntregado","subject":"%s"}' % order_id.encode())


async def test_an_events_first_coming_counts_and_what_never_came_is_missing() -> None:
    events = LastEvents()
    await events.on_message(message("one"))
    first_s = events.seen_at_s["one"]
    await events.on_message(message("one"))
    assert events.seen_at_s == {"one": first_s}
    assert await events.until_seen(["one"], limit_s=0.0) == 0
    assert await events.until_seen(["one", "two", "three"], limit_s=0.0) == 2
