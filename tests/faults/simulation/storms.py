"""What goes wrong at large while orders live: processes die, hang and lose sight of each other, servers go away, the world moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.faults.simulation.clients import CUSTOMERS
from tests.faults.simulation.hosts import ADDED, ROLES
from tests.faults.simulation.partners import SKUS
from tests.faults.simulation.world import World


class Storms:
    """Plans the faults of a run, from its weather."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def rage(self, until_s: float) -> None:
        """Let things happen until that time."""
        chances = self._world.chaos.chances
        acts: list[tuple[float, Callable[[], None]]] = [
            (chances.kill_every_s, self._kill_one),
            (chances.stop_every_s, self._stop_one),
            (chances.cut_every_s, self._cut_one),
            (chances.shard_role_every_s, self._change_a_role),
            (chances.database_down_every_s, self._database_away),
            (chances.broker_down_every_s, self._broker_away),
            (chances.hold_lost_every_s, self._lose_a_hold),
            (chances.price_every_s, self._change_a_price),
            (chances.customer_every_s, self._change_a_customer),
            (chances.passivate_every_s, self._passivate),
        ]
        plan = []
        for every_s, act in acts:
            at_s = self._world.chaos.next_in_s(every_s)
            while at_s < until_s:
                plan.append((at_s, act))
                at_s += self._world.chaos.next_in_s(every_s)
        for at_s, act in sorted(plan, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, at_s - self._world.loop.time()))
            act()

    def _kill_one(self) -> None:
        # Mostly a shard: the others hold nothing.
        kind = "order-shard" if self._world.chaos.random.random() < 0.6 else ""
        if living := self._world.living(kind):
            self._world.kill(self._world.chaos.random.choice(living))

    def _stop_one(self) -> None:
        random = self._world.chaos.random
        kind = "order-shard" if random.random() < 0.7 else "bulkhead"
        if living := self._world.living(kind):
            is_shard = kind == "order-shard"
            self._world.stop(
                random.choice(living), random.uniform(0.5, 8.0), replaced=is_shard and random.random() < 0.5
            )

    def _cut_one(self) -> None:
        random = self._world.chaos.random
        shards, others = (
            self._world.living("order-shard"),
            self._world.living("api") + self._world.living("bulkhead") + self._world.living("bridge"),
        )
        if shards and random.random() < 0.4:  # alone but for the database
            alone, for_s = random.choice(shards), random.uniform(0.2, 6.0)
            for other in others:
                self._world.cut(other, alone, for_s)
        elif len(shards) > 1 and random.random() < 0.4:  # two shards don't see each other, or one of them does not
            one, other = random.sample(shards, 2)
            for_s = random.uniform(0.2, 6.0)
            self._world.cut(one, other, for_s)
            if random.random() < 0.5:
                self._world.cut(other, one, for_s)
        elif shards and others:
            pair = [random.choice(shards), random.choice(others)]
            random.shuffle(pair)
            self._world.cut(pair[0], pair[1], random.uniform(0.2, 5.0))

    def _change_a_role(self) -> None:
        """A shard is drained, added, or stands by from now on."""
        random, roles = self._world.chaos.random, self._world.database.tables.roles
        name, role = random.choice([*ROLES, ADDED]), random.choice(("serving", "serving", "standby", "draining"))
        others = [roles.get(each, ROLES.get(each)) for each in (*ROLES, ADDED) if each != name]
        if role == "draining" and not {"serving", "standby"} & set(others):
            return  # the last one
        self._world.note("role", name, role)
        roles[name] = role

    def _database_away(self) -> None:
        self._world.note("database down")
        self._world.database.is_down = True
        self._world.later(self._world.chaos.random.uniform(0.1, 4.0), self._database_back)

    def _database_back(self) -> None:
        self._world.database.is_down = False

    def _broker_away(self) -> None:
        self._world.note("broker down")
        self._world.broker.is_down = True
        self._world.broker.drop_all()
        self._world.later(self._world.chaos.random.uniform(0.1, 8.0), self._broker_back)

    def _broker_back(self) -> None:
        self._world.broker.is_down = False

    def _lose_a_hold(self) -> None:
        held = [hold["order_id"] for hold in self._world.partners.stock.holds(None) if hold["state"] == "held"]
        if held:
            self._world.partners.lose_hold(self._world.chaos.random.choice(held))

    def _change_a_price(self) -> None:
        self._world.partners.change_price(
            self._world.chaos.random.choice(SKUS), self._world.chaos.random.choice((0, 500, 1850, 9900))
        )

    def _change_a_customer(self) -> None:
        random = self._world.chaos.random
        self._world.partners.change_customer(random.choice(CUSTOMERS), random.choice(("Ana", "Eva", "Isa")))

    def _passivate(self) -> None:
        for clients in self._world.living("order-shard"):
            clients.process.later(0, clients.serves.methods()["passivate"])
