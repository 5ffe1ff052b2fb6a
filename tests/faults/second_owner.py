"""Bypasses the router: has a shard take a group over whose owner is alive, well, and not asked.

    python -m tests.faults.second_owner 0.7        the number in 0..1 chooses the group; prints who was bereft of it

A program of its own, since it attaches itself to Ray. What it hands over is an event for an order that does not exist.
"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import ray

from actors.groups import Layout
from actors.peers import NAMESPACE
from actors.wire import encode_letters
from domain.commands import Actor, ActorType, Message, Wake

ANSWER_LIMIT_S = 10.0


def main(pick: float) -> None:
    """Take the chosen group over. Raises whatever keeps it from that."""
    ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    shards = [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]
    names = sorted(name for name in shards if name.startswith("order-shard-"))
    layout = Layout(len(names))
    owner = names[int(pick * len(names))]
    other = names[(names.index(owner) + 1) % len(names)]
    number = owner.rsplit("-", 1)[1]
    order_id = next(
        str(UUID(int=n)) for n in range(100_000) if layout.home_of(layout.group_of(str(UUID(int=n)))) == owner
    )
    message = Message(id=f"second-owner:{pick}", body=Wake(), actor=Actor(ActorType.TIMER, "second-owner"))
    shard: Any = ray.get_actor(other, namespace=NAMESPACE)
    group = f"slices-{number}-of-{len(names)}"
    answer = shard.handle.remote(group, encode_letters([(order_id, message)]), True)  # noqa: FBT003
    answered, _ = ray.wait([answer], timeout=ANSWER_LIMIT_S)
    if not answered:
        raise TimeoutError(f"{other} did not answer")
    print(owner)


if __name__ == "__main__":
    main(float(sys.argv[1]))
