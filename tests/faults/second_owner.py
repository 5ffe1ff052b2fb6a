"""Bypasses the router: shards take groups over whose owners are alive, well, and not asked.

    python -m tests.faults.second_owner

A program of its own, since it attaches itself to Ray. It says ``ready``, then reads one line, ``{"pick": 0..1, "ship":
[order id]}``, and answers with one, ``{"bereft": [shard], "versions": {order id: version}}``: each of those orders was noted as
shipped by a shard that is not its owner; where none is named, a group that ``pick`` chooses is taken over for nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import UUID, uuid4

import ray
import structlog

from actors.groups import Layout
from actors.peers import NAMESPACE, Peers
from actors.replies import Reply
from actors.wire import decode_told, encode_letter
from domain.commands import Actor, ActorType, Message, Ship, Wake

LIMIT_S = 30.0
PING_EVERY_S = 0.5
PINGS_MISSED_MAX = 8


async def main() -> None:
    """Attach, wait to be told, take over. Raises whatever keeps it from that."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what is printed is read as an answer
    ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    known = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    names = sorted(name for name in known if name.startswith("order-shard-"))
    peers = Peers(ping_every_s=PING_EVERY_S, pings_missed_max=PINGS_MISSED_MAX)
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(peers.get(name).found.wait() for name in names))
    print("ready", flush=True)
    asked = json.loads(await asyncio.to_thread(sys.stdin.readline))
    layout = Layout(len(names))
    by_owner: dict[str, dict[str, Message]] = {}
    for order_id in asked["ship"]:
        body = Ship(carrier="SEUR", tracking_number="second-owner")
        message = Message(id=str(uuid4()), body=body, actor=Actor(ActorType.STAFF, "second-owner"), keyed=True)
        by_owner.setdefault(layout.home_of(layout.group_of(order_id)), {})[order_id] = message
    if not by_owner:
        owner = names[int(asked["pick"] * len(names))]
        ids = (str(UUID(int=number)) for number in range(100_000))
        order_id = next(each for each in ids if layout.home_of(layout.group_of(each)) == owner)
        wake = Message(id=f"second-owner:{uuid4()}", body=Wake(), actor=Actor(ActorType.TIMER, "second-owner"))
        by_owner[owner] = {order_id: wake}
    versions: dict[str, int] = {}
    async with asyncio.timeout(LIMIT_S):
        for owner, messages in by_owner.items():
            other = names[(names.index(owner) + 1) % len(names)]
            group = layout.group_of(next(iter(messages)))
            for order_id, message in messages.items():
                letter = encode_letter(order_id, message)
                told = decode_told(await peers.get(other).call("deliver", group, True, letter))  # noqa: FBT003
                if isinstance(told, Reply):
                    versions[order_id] = told.version
    print(json.dumps({"bereft": list(by_owner), "versions": versions}), flush=True)
    peers.stop()


if __name__ == "__main__":
    asyncio.run(main())
