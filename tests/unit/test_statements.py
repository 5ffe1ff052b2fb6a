from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.statements import by_folder, statements, table

SOURCE = '''
"""A module's docstring, which is no statement."""

import os  # one

class A:  # two
    """None."""

    def f(self) -> int:  # three
        """None."""
        if os.name:  # four
            return 1; x = 2  # five and six
        return (  # seven
            2
        )
'''


def test_statements_are_counted_and_docstrings_and_lines_are_not() -> None:
    assert statements(SOURCE) == 7
    assert statements("'first'\n'a string that is a statement'") == 1


def test_only_what_the_product_consists_of_is_counted(tmp_path: Path) -> None:
    for name in ("a/x.py", "a/deep/y.py", "local/z.py", "tests/t.py", ".venv/v.py", "top.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1\n")
    assert by_folder(tmp_path) == {"a": 2, ".": 1}


def test_the_table_shows_what_became_of_another_checkout() -> None:
    lines = table(Counter({"a": 90, "new": 1}), Counter({"a": 100, "gone": 9})).splitlines()
    assert [line.split() for line in lines] == [
        ["a", "100", "90", "-10.0", "%"],
        ["gone", "9", "0", "-100.0", "%"],
        ["new", "0", "1", "new"],
        ["all", "109", "91", "-16.5", "%"],
    ]
