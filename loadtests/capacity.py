"""``./dev capacity``: load in steps until the knee, then write the plan: what one core, one node, n nodes carry.

Each step is an open load of whole lives; the knee is the last step whose p99 and error share are within their limits and
that kept up with its rate. CPU by process is measured there too; the plan's arithmetic is ``benchmarks.plan``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes, service
from benchmarks.audience import audience
from benchmarks.client import Client
from benchmarks.load import open_loop
from benchmarks.machine import describe
from benchmarks.plan import USE_MAX, Costs, lives_per_s
from benchmarks.samples import latency
from benchmarks.settled import NotSettledError, until_settled
from benchmarks.shop import Shop

CONNECTIONS = 512
STEPS_MAX = 20
RATE_MAX_PER_S = 5000.0
SECONDS_MAX = 120
SETTLE_TIMEOUT_S = 120.0
KEPT_UP_SHARE = 0.95
NODES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a step has to hold to count as carried."""

    p99_ms: float
    error_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one step. ``cpu_ms`` is the CPU of a life by process group."""

    wanted_per_s: float
    reached_per_s: float
    p50_ms: float
    p99_ms: float
    error_share: float
    costs: Costs

    def is_carried(self, limits: Limits) -> bool:
        """Whether the step held its limits and its rate."""
        kept_up = self.reached_per_s >= KEPT_UP_SHARE * self.wanted_per_s
        return kept_up and self.p99_ms <= limits.p99_ms and self.error_share <= limits.error_share


def knee(steps: Sequence[Step], limits: Limits) -> Step | None:
    """Give the last step before the first that was not carried; None when not even the first was."""
    carried = None
    for step in steps:
        if not step.is_carried(limits):
            break
        carried = step
    return carried


async def climb(
    running: service.Service, first_per_s: float, factor: float, seconds: int, limits: Limits
) -> list[Step]:
    """Raise the rate step by step until one is not carried."""
    steps: list[Step] = []
    async with audience(running.endpoints.amqp), Client(running.endpoints.api, CONNECTIONS) as client:
        shop = Shop(client, running.endpoints.token)
        rate = first_per_s
        while len(steps) < STEPS_MAX and rate <= RATE_MAX_PER_S:
            before = processes.usage(running.state)
            outcome = await open_loop(shop.life_from(len(steps) * 10_000_000), rate_per_s=rate, seconds=seconds)
            try:
                await until_settled(running.endpoints.database, SETTLE_TIMEOUT_S)
            except NotSettledError as error:
                print(f"the step of {rate:.0f} a second: {error}", file=sys.stderr)
                break
            spent = processes.usage(running.state).cpu_since(before)
            if not outcome.done:
                print(f"no life got to its end: {shop.refusals.most_common(3)}", file=sys.stderr)
                break
            spoken = latency(outcome.samples())
            steps.append(
                Step(
                    wanted_per_s=rate,
                    reached_per_s=outcome.rate,
                    p50_ms=spoken.p50_ms,
                    p99_ms=spoken.p99_ms,
                    error_share=outcome.error_share,
                    costs=Costs.of({group: cpu_s * 1000 / outcome.done for group, cpu_s in spent.items()}),
                )
            )
            print(f"{rate:8.1f} lives/s wanted, {outcome.rate:8.1f} reached, p99 {spoken.p99_ms:6.0f} ms", flush=True)
            if not steps[-1].is_carried(limits):
                break
            rate *= factor
    return steps


def plan(steps: Sequence[Step], limits: Limits, machine: dict[str, str | int]) -> str:
    """Write the plan in Markdown. Raises ``ValueError`` when there is no step to plan with."""
    if not steps:
        raise ValueError("nothing was measured")
    best = knee(steps, limits)
    basis = best or steps[0]
    cores = int(machine["cores"])
    lines = ["# Capacity", "", ", ".join(f"{key}: {value}" for key, value in machine.items()), ""]
    lines += ["A life is an order of three lines from creation to delivery: 5 or more requests, 6 to 8 commits.", ""]
    lines += ["| lives/s wanted | reached | p50 ms | p99 ms | failed | carried |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {one.wanted_per_s:.1f} | {one.reached_per_s:.1f} | {one.p50_ms:.0f} | {one.p99_ms:.0f} "
        f"| {one.error_share:.2%} | {'yes' if one.is_carried(limits) else 'no'} |"
        for one in steps
    ]
    found = f"{best.reached_per_s:.0f} lives a second" if best else "below the first step"
    lines += ["", f"Knee: **{found}** (p99 at most {limits.p99_ms:g} ms, at most {limits.error_share:.2%} failed).", ""]
    lines += ["| process | CPU-ms a life | lives/s a core |", "|---|---|---|"]
    lines += [
        f"| {group} | {cost:.2f} | {1000 / cost:.0f} |" for group, cost in basis.costs.by_group.items() if cost > 0
    ]
    one_core = 1000 * USE_MAX / basis.costs.everything_ms
    lines += ["", f"One core carries {one_core:.0f} lives a second, used to {USE_MAX:.0%}. The model for more:", ""]
    lines += [f"| nodes of {cores} cores | lives/s | saturates first |", "|---|---|---|"]
    for nodes in NODES:
        rate, what = lives_per_s(basis.costs, nodes=nodes, cores_a_node=cores)
        lines.append(f"| {nodes} | {rate:.0f} | {what} |")
    lines += ["", "The rows for more than one node are reckoned, not measured."]
    return "\n".join(lines) + "\n"


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="./dev capacity", description=__doc__)
    parser.add_argument("--first", type=float, default=10.0, help="lives a second of the first step")
    parser.add_argument("--factor", type=float, default=1.5, help="from one step to the next")
    parser.add_argument("--seconds", type=int, default=15, help=f"of each step, at most {SECONDS_MAX}")
    parser.add_argument("--p99", type=float, default=500.0, help="ms that a whole life may take")
    parser.add_argument("--errors", type=float, default=0.01, help="share of lives that may fail")
    parser.add_argument("--state", type=Path, default=service.given_state(), help=service.STATE_HELP)
    parser.add_argument("--plan", type=Path, default=Path("capacity.md"), help="where the plan is written")
    return parser


def main() -> int:
    """Climb, then write the plan."""
    parser = arguments()
    chosen = parser.parse_args()
    if not (0 < chosen.first <= RATE_MAX_PER_S and 1 < chosen.factor <= 4 and 1 <= chosen.seconds <= SECONDS_MAX):  # noqa: PLR2004
        parser.error(
            f"a first rate up to {RATE_MAX_PER_S:g}, a factor of 1 to 4, and up to {SECONDS_MAX} seconds a step"
        )
    limits = Limits(p99_ms=chosen.p99, error_share=chosen.errors)
    machine = describe()
    with service.use(chosen.state) as running:
        steps = asyncio.run(climb(running, chosen.first, chosen.factor, chosen.seconds, limits))
    if not steps:
        print("no step could be measured", file=sys.stderr)
        return 1
    text = plan(steps, limits, machine)
    chosen.plan.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
