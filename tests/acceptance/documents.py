"""The examples of a page, run as they stand: its blocks of bash and Python in one shell, one after another, and what each
printed beside the block that the page shows as its output.

A block ``json`` or ``text`` that follows an example is its output. Of JSON the page may leave out members; ``…`` stands
for whatever is there: within a text for any run of characters, in JSON for any value.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.started import ROOT

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("bash", "python")
OUTPUT = ("json", "text")
ANYTHING = "…"
RUN_LIMIT_S = 90
TIMED_OUT = 124  # what the program timeout says then
MARK = "=== example"


@dataclass(frozen=True, slots=True)
class Example:
    """A block that is run, and the output that the page shows, if it shows one."""

    language: str
    code: str
    shown_as: str = ""
    shown: str = ""


def examples_of(page: str) -> list[Example]:
    """The examples of a page in Markdown; blocks in other languages are passed over."""
    found: list[Example] = []
    for language, code in BLOCK.findall(page):
        if language in RUN:
            found.append(Example(language, code))
        elif language in OUTPUT and found and not found[-1].shown:
            found[-1] = Example(found[-1].language, found[-1].code, language, code)
    return found


def script_of(examples: list[Example]) -> str:
    """One script for bash that runs them all; what is set in one is known in the next, also to Python."""
    parts = ["set -euo pipefail -o allexport"]
    for number, example in enumerate(examples):
        parts.append(f"printf '\\n{MARK} {number}\\n'")
        parts.append(
            example.code
            if example.language == "bash"
            else f'"$PYTHON" - <<"END_OF_PYTHON"\n{example.code}END_OF_PYTHON'
        )
    return "\n".join(parts)


def outputs_of(printed: str) -> list[str]:
    """What each example printed."""
    return [part.partition("\n")[2].strip() for part in printed.split(f"{MARK} ")[1:]]


def differences(shown: Any, real: Any, place: str = "$") -> Iterator[str]:
    """Where JSON is not as the page shows it."""
    if shown == ANYTHING:
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        for name, value in shown.items():
            if name in real:
                yield from differences(value, real[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is missing"
    elif isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        for number, (one, other) in enumerate(zip(shown, real, strict=True)):
            yield from differences(one, other, f"{place}[{number}]")
    elif isinstance(shown, str) and isinstance(real, str) and matches(shown, real):
        return
    elif shown != real or type(shown) is not type(real):
        yield f"{place} is {json.dumps(real)[:200]}, not {json.dumps(shown)[:200]}"


def matches(shown: str, real: str) -> bool:
    """Whether a text is as shown, but for what the page leaves open, and blanks at the ends of lines."""
    pattern = ".*?".join(re.escape(part) for part in _trimmed(shown).split(ANYTHING))
    return re.fullmatch(pattern, _trimmed(real), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def wrong_in(page: Path, replaced: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Run a page's examples and say what is not as it shows. ``replaced``: what is elsewhere here than on the page."""
    text = page.read_text()
    for here, there in replaced.items():
        assert here in text, f"{page.name} does not say {here}"
        text = text.replace(here, there)
    examples = examples_of(text)
    done = subprocess.run(
        ["timeout", str(RUN_LIMIT_S), "bash", "-c", script_of(examples)],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = outputs_of(done.stdout)
    if done.returncode != 0:
        how = f"did not end within {RUN_LIMIT_S} s" if done.returncode == TIMED_OUT else "failed"
        return [f"example {len(outputs)} {how}: {examples[len(outputs) - 1].code}\n{outputs[-1]}\n{done.stderr}"]
    return list(faults_in(examples, outputs))


def faults_in(examples: list[Example], outputs: list[str]) -> Iterator[str]:
    """What was printed otherwise than is shown."""
    for example, real in zip(examples, outputs, strict=True):
        yield from _faults(example, real)


def _faults(example: Example, real: str) -> Iterator[str]:
    if example.shown_as == "text" and not matches(example.shown, real):
        yield f"{example.code}\nprints\n{real}\n\nand not\n{example.shown}"
    elif example.shown_as == "json":
        try:
            found = list(differences(json.loads(example.shown), json.loads(real)))
        except ValueError as error:
            found = [f"{error}: {real}"]
        if found:
            yield f"{example.code}\n" + "\n".join(found)
