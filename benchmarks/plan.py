"""The model of capacity: from CPU a life to lives a second on more cores and nodes. Arithmetic only.

Everything but PostgreSQL and RabbitMQ can be multiplied: shards, API processes and bulkheads share the cores of all nodes.
PostgreSQL has a node to itself as soon as there are two, and no more than that node; so has RabbitMQ with three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.processes import Group

# Queues grow without end at full use; a plan leaves room for bursts.
USE_MAX = 0.7
NOT_IN_PRODUCTION = (Group.SANDBOX, Group.OTHER)


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU-milliseconds of one life by process group."""

    by_group: Mapping[Group, float]

    @classmethod
    def of(cls, by_group: Mapping[Group, float]) -> Costs:
        """Leave out what only a measurement has, such as the sandbox of the partners."""
        return cls({group: cost for group, cost in by_group.items() if group not in NOT_IN_PRODUCTION})

    @property
    def everything_ms(self) -> float:
        """What a life costs in all."""
        return sum(self.by_group.values())


def lives_per_s(costs: Costs, *, nodes: int, cores_a_node: float) -> tuple[float, str]:
    """Give the lives a second that a plan may count on, and what saturates first. Raises ``ValueError`` without costs."""
    if costs.everything_ms <= 0:
        raise ValueError("nothing was measured")
    per_core = 1000 * USE_MAX
    singles = [group for group in (Group.POSTGRES, Group.RABBITMQ) if costs.by_group.get(group)]
    alone = singles[: nodes - 1]
    shared_ms = costs.everything_ms - sum(costs.by_group[group] for group in alone)
    bounds = {str(group): per_core * cores_a_node / costs.by_group[group] for group in alone}
    bounds["the cores that all share"] = (
        per_core * cores_a_node * (nodes - len(alone)) / shared_ms if shared_ms else 0.0
    )
    what = min(bounds, key=bounds.__getitem__)
    return bounds[what], what
