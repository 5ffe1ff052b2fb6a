"""`./dev faults`: a service of its own, seeded clients and faults, rest, and the laws of the contract.

    ./dev faults --seed 7 --minutes 10

The same seed has the same plan of faults and the same clients; what meets what is up to the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.faults.partners import PAGES_SHARE
from tests.faults.report import lines, shortfalls
from tests.faults.run import Size, run, service
from tests.faults.schedule import LASTING


def main() -> int:
    """Run it and print what happened; 1 where a law was broken or too little happened to prove anything."""
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--every", type=float, default=5.0, help="seconds from one fault to the next, on the average")
    parser.add_argument(
        "--pages",
        type=float,
        default=PAGES_SHARE,
        help="the share of the partners' answers that something in between gives",
    )
    parser.add_argument("--only", nargs="*", help="kinds of faults, else all")
    parser.add_argument("--logs", type=Path, help="copy the service's logs to this folder")
    asked = parser.parse_args()
    size = Size(
        seconds=asked.minutes * 60,
        clients=asked.clients,
        fault_every_s=asked.every,
        pages_share=asked.pages,
        kinds=tuple(LASTING if asked.only is None else asked.only),
    )
    with service(logs=asked.logs) as started:
        result = asyncio.run(run(started, asked.seed, size))
        for line in lines(result):
            print(line, flush=True)
    return 1 if result.violations or any(shortfalls(result)) else 0


if __name__ == "__main__":
    sys.exit(main())
