"""docs/glossary.md and the classes agree: each word is where it says, and no name stands for two classes."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("actors", "api", "domain", "local", "messaging", "partners", "sagas", "storage")
ROW = re.compile(r"^\| `(?P<word>\w+)` \| .+ \| `(?P<file>[\w/]+\.py)` \|$", re.MULTILINE)
# A request's body has the name of the command that it becomes; it is a part of the OpenAPI document.
BODIES_OF_COMMANDS = {"MarkSettled", "Record", "RetryNow", "SkipToCompensation"}


def classes() -> dict[str, list[str]]:
    """Give the files in which each class of the product is defined, by its name."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder in PRODUCT:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(str(file.relative_to(ROOT)))
    return found


def test_each_word_of_the_glossary_is_a_class_where_it_says() -> None:
    words = ROW.findall((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    defined = classes()
    assert len(words) > 50
    assert [(word, file) for word, file in words if file not in defined.get(word, [])] == []
    assert len(words) == len({word for word, _ in words})


def test_no_class_name_is_given_twice() -> None:
    twice = {name: files for name, files in classes().items() if len(files) > 1}
    assert {name: files for name, files in twice.items() if name not in BODIES_OF_COMMANDS} == {}
    assert all({file.split("/")[0] for file in files} == {"api", "domain"} for files in twice.values())
