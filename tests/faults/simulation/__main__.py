"""Live seeds, and print those that break a law.

python -m tests.faults.simulation --seeds 0-999            each seed's broken laws
python -m tests.faults.simulation --seeds 17 --trace       every step of one
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.faults.simulation.run import simulate


def main() -> int:
    """Do what the command line says; the exit code is 1 when a law was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-99", help="one seed, or the first and last of a range: A-B")
    parser.add_argument("--hashes", action="store_true", help="print each seed with the digest of its trace")
    parser.add_argument("--trace", action="store_true", help="print every step")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began_s = time.monotonic()
    failed = handles = 0
    virtual_s = 0.0
    for seed in seeds:
        report = simulate(seed, keep_trace=asked.trace)
        handles += report.handles
        virtual_s += report.virtual_s
        if asked.hashes:
            print(seed, report.trace_hash)
        for line in report.trace:
            print(line)
        for line in report.broken:
            print(f"seed {seed}: {line}", flush=True)
        failed += bool(report.broken)
    took_s = time.monotonic() - began_s
    print(
        f"{len(seeds)} seeds, {failed} of them broke a law; {handles} steps, {virtual_s:.0f} simulated s in {took_s:.1f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
