"""Copies of frozen values with some fields changed: what ``dataclasses.replace`` does, at a quarter of its cost.

Every decision makes dozens of such copies, and an order has some fifty fields. ``replace`` passes them through ``__init__``; here a
function is made for each class, once, that reads and writes its slots one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")
Copy = Callable[[Any], Any]
Writers = dict[str, Callable[[Any, Any], None]]

_tools: dict[type, tuple[Copy, Writers]] = {}


def amended(value: T, **changes: Any) -> T:
    """Give a copy of a dataclass with slots, with ``changes``. Raises ``KeyError`` for a field that it doesn't have.

    Nothing is checked or converted, and ``__post_init__`` is not run.
    """
    copy, writers = _tools.get(type(value)) or _tools_for(type(value))
    twin: T = copy(value)
    for name, new in changes.items():
        writers[name](twin, new)
    return twin


def _tools_for(kind: Any) -> tuple[Copy, Writers]:
    """Write the function that copies a class of values, as ``dataclasses`` writes ``__init__``."""
    names = [field.name for field in fields(kind)]
    writers: Writers = {name: getattr(kind, name).__set__ for name in names}
    known: dict[str, Any] = {"new": object.__new__, "kind": kind, **{f"write_{name}": writers[name] for name in names}}
    lines = [f"    write_{name}(twin, value.{name})" for name in names]
    source = "\n".join(["def copy(value):", "    twin = new(kind)", *lines, "    return twin"])
    exec(source, known)  # noqa: S102 - made of the names of the class's own fields, nothing else
    made = _tools[kind] = (known["copy"], writers)
    return made
