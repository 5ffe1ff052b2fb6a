"""``./dev load SCENARIO --users N --rate R``: run one scenario headless against a running service, and judge it.

Bounded in users, rate and time; loopback only. Ends with 1 when more requests failed than ``--errors`` allows. The
report is an HTML file of locust's own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from loadtests.addresses import require_loopback
from loadtests.running import LIMITS, SCENARIOS, Load, run
from settings import settings


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="./dev load", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--users", type=int, default=20, help=f"at once, at most {LIMITS.users}")
    parser.add_argument(
        "--rate", type=float, default=20.0, help=f"visits a second of all, at most {LIMITS.rate_per_s:g}"
    )
    parser.add_argument("--seconds", type=int, default=30, help=f"at most {LIMITS.seconds}")
    parser.add_argument("--errors", type=float, default=0.01, help="share of requests that may fail (0.01)")
    parser.add_argument(
        "--state", type=Path, default=settings().state_dir, help="state folder of the running service (%(default)s)"
    )
    parser.add_argument("--report", type=Path, help="HTML file (load-SCENARIO.html)")
    return parser


def main() -> int:
    """Run the scenario, print what came of it, give the exit code."""
    parser = arguments()
    chosen = parser.parse_args()
    load = Load(
        scenario=chosen.scenario,
        users=chosen.users,
        rate_per_s=chosen.rate,
        seconds=chosen.seconds,
        state=chosen.state,
        report=chosen.report or Path(f"load-{chosen.scenario}.html"),
    )
    try:
        LIMITS.check(load)
        endpoints = json.loads((chosen.state / "endpoints.json").read_text())
        require_loopback(endpoints["api"])
    except FileNotFoundError:
        parser.error(f"no service runs in {chosen.state}: start one with ./dev run")
    except ValueError as error:
        parser.error(str(error))
    result = run(load, endpoints["api"])
    print(result.text())
    print(f"report: {load.report}")
    if result.requests == 0 or result.error_share > chosen.errors:
        print(f"failed: {result.error_share:.2%} of {result.requests} requests failed, {chosen.errors:.2%} may")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
