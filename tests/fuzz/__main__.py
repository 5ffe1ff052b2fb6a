"""`./dev fuzz --minutes N [--seed S]`: bad input of every kind beside good lives, for as long as one likes."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys

from tests.fuzz.run import Size, fuzz


def main() -> int:
    """Run it, print what was answered and what was found; the exit code is 1 where something was."""
    parser = argparse.ArgumentParser(
        prog="./dev fuzz", description="Put bad input of every kind in, beside good lives."
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="what the input follows from")
    parser.add_argument("--rate", type=float, default=25.0, metavar="PER_S", help="bad requests and events a second")
    parser.add_argument("--lives", type=float, default=2.0, metavar="PER_S", help="good lives a second")
    wanted = parser.parse_args()
    size = Size(
        seconds=wanted.minutes * 60,
        rate_per_s=wanted.rate,
        lives_per_s=wanted.lives,
        wait_for_retries=wanted.minutes > 5,
    )
    print(f"seed {wanted.seed}", flush=True)
    findings = asyncio.run(fuzz(wanted.seed, size))
    for what, times in sorted(findings.answers.items()):
        print(f"{times:>8}  {what}")
    print(findings.report() or "nothing was found")
    return 1 if findings.examples else 0


if __name__ == "__main__":
    sys.exit(main())
