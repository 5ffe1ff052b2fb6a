"""From a path to its route: what takes the place of trying FastAPI's routes in turn, each with a regular expression.

Paths without variables are looked up by their text, the others compared part by part with those of as many parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from api.exchange import NO_PARAMS
from api.operations import Route


class Paths:
    """The routes by their paths. A path without variables comes before its sibling with one; else the first fits."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, Route] = {}
        self._by_length: dict[int, list[_Pattern]] = {}
        for route in routes:
            if "{" in route.path_format:
                pattern = _Pattern(route)
                self._by_length.setdefault(pattern.length, []).append(pattern)
            else:
                self._fixed.setdefault(route.path_format, route)

    def find(self, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """Give the route of a path as it was written and what stands for its variables (decoded, never empty texts), or None.

        It is decoded part by part, so that what a variable stands for may hold ``%2F``.
        """
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, NO_PARAMS
        parts = path.split("/")
        if "%" in path:
            parts = [unquote(part) for part in parts]
            fixed = self._fixed.get(path := "/".join(parts))
            if fixed is not None and path.count("/") == len(parts) - 1:
                return fixed, NO_PARAMS
        for pattern in self._by_length.get(len(parts), ()):
            params = pattern.match(parts)
            if params is not None:
                return pattern.route, params
        return None


class _Pattern:
    """A path with variables, each of which is a whole part."""

    def __init__(self, route: Route) -> None:
        parts = route.path_format.split("/")
        self.route = route
        self.length = len(parts)
        self._fixed = [(n, part) for n, part in enumerate(parts) if not part.startswith("{")]
        self._variable = [(n, part[1:-1]) for n, part in enumerate(parts) if part.startswith("{")]

    def match(self, parts: list[str]) -> dict[str, str] | None:
        for n, part in self._fixed:
            if parts[n] != part:
                return None
        params = {name: parts[n] for n, name in self._variable}
        return params if all(params.values()) else None
