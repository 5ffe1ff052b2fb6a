"""``scale``: what another shard and another API process add on this machine, and the model for more machines.

The model: a life costs CPU in each kind of process; kinds that can be multiplied share what cores there are, and the one
PostgreSQL sets the end. It is arithmetic over what was measured, and says so.
"""

from __future__ import annotations

from benchmarks import processes, service
from benchmarks.audience import audience
from benchmarks.client import Client
from benchmarks.load import closed_loop
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.plan import Costs, lives_per_s
from benchmarks.processes import Group
from benchmarks.report import Chart, Report, Series, Table, number
from benchmarks.samples import latency, middle
from benchmarks.settled import until_settled
from benchmarks.shop import Shop

LAYOUTS = ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (4, 2))
QUICK_LAYOUTS = ((1, 1), (2, 2))
IN_FLIGHT = 64
SETTLE_TIMEOUT_S = 120.0
NODES = (1, 2, 4, 8)
CORES_A_NODE = 8

Layout = tuple[int, int]


async def measure(options: Options) -> Report:
    """Start the service anew for each layout and run lives; ``--state`` is of no use here."""
    lives = options.size(2000, 60)
    rates: dict[Layout, float] = {}
    p99_ms: dict[Layout, float] = {}
    costs: dict[Layout, Costs] = {}
    for shards, api_processes in QUICK_LAYOUTS if options.quick else LAYOUTS:
        overrides = {"SHARDS": str(shards), "SHARDS_SERVING": str(shards), "API_PROCESSES": str(api_processes)}
        with service.started(overrides) as running:
            async with audience(running.endpoints.amqp), Client(running.endpoints.api, IN_FLIGHT) as client:
                shop = Shop(client, running.endpoints.token)
                await closed_loop(shop.life, total=50, in_flight=8)
                await until_settled(running.endpoints.database, SETTLE_TIMEOUT_S)
                before = processes.usage(running.state)
                outcomes = [
                    await closed_loop(shop.life_from(turn * 10_000_000), total=lives, in_flight=IN_FLIGHT)
                    for turn in range(1, options.rounds + 1)
                ]
                await until_settled(running.endpoints.database, SETTLE_TIMEOUT_S)
                spent = processes.usage(running.state).cpu_since(before)
        done = sum(one.done for one in outcomes)
        if not done:
            raise RuntimeError(f"no life got to its end: {shop.refusals.most_common(3)}")
        layout = (shards, api_processes)
        rates[layout] = middle([one.rate for one in outcomes])
        p99_ms[layout] = latency([sample for one in outcomes for sample in one.samples()]).p99_ms
        costs[layout] = Costs.of({group: cpu_s * 1000 / done for group, cpu_s in spent.items()})
    return report(rates, p99_ms, costs)


def report(rates: dict[Layout, float], p99_ms: dict[Layout, float], costs: dict[Layout, Costs]) -> Report:
    """Show what each layout reached, and what the cheapest one's costs mean for more nodes."""
    first = next(iter(rates.values()))
    figures = {f"lives_per_s_{shards}_shards_{api}_api": rate for (shards, api), rate in rates.items()}
    rows = tuple(
        (f"{shards} shards, {api} API", number(rate), f"{rate / first:.2f}", number(p99_ms[(shards, api)]))
        for (shards, api), rate in rates.items()
    )
    best = min(costs.values(), key=lambda cost: cost.everything_ms)
    modelled = {nodes: lives_per_s(best, nodes=nodes, cores_a_node=CORES_A_NODE) for nodes in NODES}
    figures |= {f"model_lives_per_s_{nodes}_nodes": rate for nodes, (rate, _) in modelled.items()}
    figures["model_postgres_ms"] = best.by_group.get(Group.POSTGRES, 0.0)
    model = tuple((f"{nodes} nodes", number(rate), what) for nodes, (rate, what) in modelled.items())
    series = tuple(
        Series(
            f"{api} API processes",
            tuple(float(shards) for shards, other in rates if other == api),
            tuple(rate for (_, other), rate in rates.items() if other == api),
        )
        for api in dict.fromkeys(api for _, api in rates)
    )
    return Report(
        name="scale",
        machine=describe(),
        figures=figures,
        tables=(
            Table("whole lives, measured", ("layout", "lives/s", "of the first", "p99 ms"), rows),
            Table(f"the model, {CORES_A_NODE} cores a node", ("size", "lives/s", "saturates first"), model),
        ),
        charts=(Chart(title="lives", x_label="shards", y_label="lives a second", series=series),),
    )
