"""``./dev bench``: run one measurement or all of them, print the tables, draw the pictures, write the JSON."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import traceback
from pathlib import Path

import uvloop

from benchmarks import service
from benchmarks.options import Options
from benchmarks.report import Report, Verdict, overview, write_json

NAMES = ("engine", "create", "life", "latency", "resident", "stored", "scale", "recovery", "overload", "hang")
BESIDE = ("life", "engine", "recovery", "resident", "overload")
ROUNDS_MAX = 50
LEVEL_MAX = 512


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="the measurement")
    parser.add_argument("--all", action="store_true", help="all of them, one after the other")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; figures are medians (3)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--peers", action="store_true", help="engine: install and run DBOS and Restate too")
    parser.add_argument("--levels", type=levels, default=(), help="engine, life --beside: how many at once, e.g. 1,16")
    parser.add_argument("--beside", type=Path, metavar="PATH", help="in turns with another checkout of this project")
    parser.add_argument(
        "--beside-command", default="", metavar="COMMAND", help="life: starts the other service in PATH"
    )
    parser.add_argument("--open", action="store_true", help="life --beside: at constant rates too")
    parser.add_argument("--state", type=Path, default=service.given_state(), help=service.STATE_HELP)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write {name, machine, figures, targets}")
    parser.add_argument("--pictures", type=Path, default=Path("benchmarks-out"), help="folder for the SVGs")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    return parser


def levels(text: str) -> tuple[int, ...]:
    """Read numbers of clients such as ``1,16``, smallest first; raises ``ArgumentTypeError``."""
    try:
        found = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"not numbers with commas between them: {text}") from None
    if not 1 <= found[0] <= found[-1] <= LEVEL_MAX:
        raise argparse.ArgumentTypeError(f"1 to {LEVEL_MAX} at once")
    return found


def complaint(chosen: argparse.Namespace) -> str:
    """What does not go together on the command line; empty when all of it does."""
    beside: Path | None = chosen.beside
    if bool(chosen.name) == chosen.all:
        return "name one measurement, or --all"
    if not 1 <= chosen.rounds <= ROUNDS_MAX:
        return f"1 to {ROUNDS_MAX} rounds"
    if chosen.levels and chosen.name != "engine" and not (chosen.name == "life" and beside):
        return "--levels is for engine, and for life --beside"
    if (chosen.open or chosen.beside_command) and not (chosen.name == "life" and beside):
        return "--open and --beside-command are for life --beside"
    if beside is None:
        return ""
    if chosen.name not in BESIDE:
        return f"--beside is for {', '.join(BESIDE)}"
    if chosen.beside_command:
        return "" if beside.is_dir() else f"{beside} is no folder"
    return "" if (beside / "dev").is_file() else f"{beside} is no checkout of this project: there is no dev in it"


async def measure(name: str, options: Options) -> Report:
    """Run one measurement; each imports only what it needs."""
    if options.beside is None:
        measuring = importlib.import_module(f"benchmarks.{name}").measure(options)
    elif name == "life":
        measuring = importlib.import_module("benchmarks.life_beside").measure(options)
    else:
        measuring = importlib.import_module("benchmarks.bench_beside").measure(name, options)
    measured: Report = await measuring
    return measured


def main() -> int:
    """Do what the command line says; give the exit code."""
    # As Ctrl-C does: whatever was started for a measurement is ended before we go.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = arguments()
    chosen = parser.parse_args()
    if wrong := complaint(chosen):
        parser.error(wrong)
    options = Options(
        rounds=chosen.rounds,
        quick=chosen.quick,
        peers=chosen.peers,
        state=chosen.state,
        levels=chosen.levels,
        beside=chosen.beside.resolve() if chosen.beside else None,
        beside_command=chosen.beside_command,
        open_rates=chosen.open,
    )
    reports: list[Report] = []
    failed: list[str] = []
    for name in NAMES if chosen.all else (chosen.name,):
        try:
            report = uvloop.run(measure(name, options))
        except Exception:  # noqa: BLE001 - what can't be measured must not take the others' figures along
            traceback.print_exc()
            failed.append(name)
            continue
        reports.append(report)
        print(report.text(), end="\n\n", flush=True)
        draw = importlib.import_module("benchmarks.picture").draw
        if draw(report, chosen.pictures / f"{name}.svg"):
            print(f"picture: {chosen.pictures / f'{name}.svg'}\n", flush=True)
        if chosen.json is not None:
            write_json(chosen.json, reports)
    if len(reports) > 1:
        print(overview(reports).text(), end="\n\n")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    missed = [t.key for r in reports for t in r.targets if t.verdict(r.figures.get(t.key)) is Verdict.MISSED]
    return 1 if failed or (chosen.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
