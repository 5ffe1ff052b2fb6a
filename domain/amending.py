"""Copies of frozen values with some fields changed: what ``dataclasses.replace`` does, at a tenth of its cost.

Every decision makes dozens of such copies, and an order has some fifty fields. ``replace`` passes them through ``__init__``, which
writes into a frozen value in a roundabout way. Here a copy is made as an open twin, whose class has the same slots and nothing else;
it gets its real class, and is frozen, once all is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")
Copy = Callable[[Any], Any]

_copies: dict[type, Copy] = {}


def amended(value: T, **changes: Any) -> T:
    """Give a copy of a frozen dataclass with slots, with ``changes``. Raises ``AttributeError`` for a field that it doesn't have.

    Nothing is checked or converted, and ``__post_init__`` is not run.
    """
    kind = type(value)
    open_copy = _copies.get(kind) or _open_copy_of(kind)
    twin = open_copy(value)
    for name, new in changes.items():
        setattr(twin, name, new)
    twin.__class__ = kind
    return twin  # type: ignore[no-any-return]


def _open_copy_of(kind: Any) -> Copy:
    """Write the function that copies a class of values into open twins, as ``dataclasses`` writes ``__init__``."""
    names = [field.name for field in fields(kind)]
    known: dict[str, Any] = {"Open": type(f"Open{kind.__name__}", (), {"__slots__": kind.__slots__})}
    lines = [f"    twin.{name} = value.{name}" for name in names]
    source = "\n".join(["def open_copy(value):", "    twin = Open()", *lines, "    return twin"])
    exec(source, known)  # noqa: S102 - made of the names of the class's own fields, nothing else
    made: Copy = known["open_copy"]
    _copies[kind] = made
    return made
