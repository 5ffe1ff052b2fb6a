"""``engine``, ``recovery``, ``resident`` and ``overload`` beside another checkout: its own ``./dev bench`` and ours, in turns.

Each measures itself with the command that it has; what is compared are the figures that both write under the same name.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.comparison import BESIDE, NO_DEARER_MAX, NO_WORSE_MIN, OURS, RATIO, Comparison, Figures, compare
from benchmarks.machine import describe
from benchmarks.options import Options
from benchmarks.program import end
from benchmarks.report import Report, Target
from local.speech import say
from local.state import PROJECT

TURN_LIMIT_S = 3600.0
HELP_LIMIT_S = 600.0
TOLD_MAX_BYTES = 2000
# An engine's first round is a short one, from which the lengths of the others follow.
ROUNDS_A_TURN = {"engine": 3}
RATIO_TARGETS = {
    "engine": tuple(Target(f"{RATIO}.ours_{level}", NO_WORSE_MIN, at_least=True) for level in (1, 16, 64)),
    "recovery": (),
    "resident": (
        Target(f"{RATIO}.bytes_per_order", NO_DEARER_MAX, at_least=False),
        Target(f"{RATIO}.back_per_s", NO_WORSE_MIN, at_least=True),
    ),
    "overload": tuple(
        Target(f"{RATIO}.{what}_useful_per_s", NO_WORSE_MIN, at_least=True) for what in ("create", "life")
    ),
}


class _Document(msgspec.Struct):
    figures: Figures


async def measure(name: str, options: Options) -> Report:
    """Run both sides in turns. Raises ``RuntimeError`` when one of them can't be measured."""
    assert options.beside is not None
    turns: dict[str, list[Figures]] = {OURS: [], BESIDE: []}
    for number_of in range(1, options.rounds + 1):
        for side, folder in ((OURS, PROJECT), (BESIDE, options.beside)):
            say(f"{name}: round {number_of} of {options.rounds}, {side}")
            turns[side].append(await _turn(name, folder, options))
    return report(name, compare(turns))


async def _turn(name: str, checkout: Path, options: Options) -> Figures:
    """Run a checkout's benchmark once; gives its figures."""
    with tempfile.TemporaryDirectory(prefix="ordersvc-bench-") as temporary:
        folder = Path(temporary)
        takes_levels = bool(options.levels) and b"--levels" in await _run(checkout, ["--help"], folder, HELP_LIMIT_S)
        await _run(checkout, arguments_of(name, folder, options, takes_levels=takes_levels), folder, TURN_LIMIT_S)
        return msgspec.json.decode((folder / "figures.json").read_bytes(), type=_Document).figures


def arguments_of(name: str, folder: Path, options: Options, *, takes_levels: bool) -> list[str]:
    """What one turn's ``./dev bench`` is told; ``folder`` is for what it writes."""
    arguments = [name, "--rounds", str(ROUNDS_A_TURN.get(name, 1))]
    arguments += ["--json", str(folder / "figures.json"), "--pictures", str(folder)]
    if options.quick:
        arguments.append("--quick")
    if takes_levels:
        arguments += ["--levels", ",".join(map(str, options.levels))]
    return arguments


async def _run(checkout: Path, arguments: Sequence[str], folder: Path, limit_s: float) -> bytes:
    """Run ``./dev bench`` of a checkout to its end; gives what it printed. No service that runs already is used."""
    environment = {**os.environ, "ORDERSVC_STATE_DIR": str(folder / "state")}
    log = folder / "bench.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(checkout / "dev"), "bench", *arguments, cwd=checkout, env=environment, stdout=output, stderr=output
        )
        try:
            await asyncio.wait_for(process.wait(), limit_s)
        finally:
            if process.returncode is None:
                process.terminate()
            await end(process)
    printed = log.read_bytes()
    if process.returncode:
        told = printed[-TOLD_MAX_BYTES:].decode(errors="replace")
        raise RuntimeError(f"{checkout}: ./dev bench {' '.join(arguments)} failed:\n{told}")
    return printed


def targets_of(name: str) -> tuple[Target, ...]:
    """What our medians are held to by the benchmark itself, and the ratios here."""
    own: Sequence[Target] = importlib.import_module(f"benchmarks.{name}").TARGETS
    return (*(Target(f"{OURS}.{one.key}", one.bound, at_least=one.at_least) for one in own), *RATIO_TARGETS[name])


def report(name: str, compared: Comparison) -> Report:
    """Lay the figures of both beside each other, in the order in which ours come."""
    rows = [(key, key) for key in [*compared.ours, *(key for key in compared.beside if key not in compared.ours)]]
    figures = compared.figures()
    return Report(
        name=f"{name}_beside",
        machine=describe(),
        figures=figures,
        targets=tuple(target for target in targets_of(name) if target.key in figures),
        tables=(compared.table(f"{name}, medians of turns", rows),),
    )
