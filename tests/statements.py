"""How much code the product has: its statements, counted in the syntax trees, by folder.

    python -m tests.statements [--beside PATH]

Layout, comments and docstrings count for nothing. What only starts, measures or loads the service is no product code.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_THE_PRODUCT = frozenset({"benchmarks", "loadtests", "local", "tests"})


def statements(source: str) -> int:
    """Give the number of statements of a module; docstrings are none."""
    tree = ast.parse(source)
    docstrings = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstrings += ast.get_docstring(node, clean=False) is not None
    return sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) - docstrings


def by_folder(root: Path) -> Counter[str]:
    """Count the statements of a checkout: of each folder, and of the modules beside the folders as ``.``."""
    counts: Counter[str] = Counter()
    for file in root.rglob("*.py"):
        inside = file.relative_to(root).parts
        if inside[0].startswith(".") or inside[0] in NOT_THE_PRODUCT:
            continue
        counts[inside[0] if len(inside) > 1 else "."] += statements(file.read_text())
    return counts


def table(here: Counter[str], beside: Counter[str] | None) -> str:
    """Give the counts a folder a line, with their sum; where there are others, those first and then the change in percent."""
    rows = []
    for name in [*sorted({*here, *(beside or ())}), "all"]:
        now = here.total() if name == "all" else here[name]
        if beside is None:
            rows.append(f"{name:<12}{now:>8,}")
            continue
        before = beside.total() if name == "all" else beside[name]
        change = f"{100 * (now - before) / before:+8.1f} %" if before else "       new"
        rows.append(f"{name:<12}{before:>8,}{now:>8,}{change}")
    return "\n".join(rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.statements", description=__doc__)
    parser.add_argument("--beside", type=Path, metavar="PATH", help="another checkout, whose counts are shown first")
    beside = parser.parse_args().beside
    print(table(by_folder(ROOT), None if beside is None else by_folder(beside)))


if __name__ == "__main__":
    main()
