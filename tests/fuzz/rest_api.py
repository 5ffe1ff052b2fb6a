"""Requests that fit the OpenAPI document but for one or two places; the answer must be good, or a 4xx that says what is wrong."""

from __future__ import annotations

import random
import time
from typing import Any
from urllib.parse import quote

import msgspec

from benchmarks.client import Response, request_bytes
from benchmarks.tallied import Sender
from tests.fuzz.edges import Edges, Raw, write
from tests.fuzz.findings import Findings
from tests.fuzz.tokens import Tokens
from tests.fuzz.world import CUSTOMERS, World

# A bad request may wait for longer than a good one, as where one of many dead letters is looked for, but not for ever.
ANSWER_MAX_S = 20.0
HEADERS: dict[str, tuple[str, ...]] = {
    "Idempotency-Key": ("", " ", '"', '"a', "a" * 256, "a" * 5000, "\xe9", "\x7f", "a,b", '"a";p=1'),
    "If-Match": ("", "*", '"', "W/", 'W/"1"', '"1", "2"', '"99999999999999999999"', '"-1"', '"x"', ",", '"1"' * 400, '"\xff"'),
    "If-None-Match": ("", "*", '"', 'W/"1"', '"1",,"2"', "x" * 5000),
    "Prefer": (
        "wait", "wait=", "wait=-1", "wait=0", "wait=1e3", "wait=nan", "wait=\xb2", "wait=" + "9" * 400,
        "wait=0;x", ",", "=", "wait=0, wait=0",
    ),
    "Accept": ("", "*/*", "application/json;q=x", "text/csv", ",", "a/b" * 1000),
    "Content-Type": (
        "", "application/json; charset=utf-16", "text/plain", "APPLICATION/JSON", "application/json;;", "/",
        "application/merge-patch+json",
    ),
    "Content-Encoding": ("gzip", "identity", "x"),
    "Accept-Encoding": ("gzip;q=nan", "*;q=0", ""),
    "Authorization": ("", "Bearer", "Bearer ", "Basic eDp5", "bearer x", "Bearer a.b.c", "Bearer " + "x" * 9000, "Bearer \xe9.x.y"),
    "traceparent": ("00-0-0-00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\xff", "00-" + "f" * 32 + "-" + "f" * 16 + "-ff"),
    "Origin": ("null", "http://x", "\xff"),
    "Content-Length": ("0", "1"),
}  # fmt: skip


class RestApi:
    """Makes such requests and judges their answers."""

    def __init__(
        self,
        rng: random.Random,
        document: Any,
        world: World,
        tokens: Tokens,
        token: str,
        sender: Sender,
        findings: Findings,
    ) -> None:
        self._rng = rng
        self._edges = Edges(rng, document)
        self._world = world
        self._tokens = tokens
        self._token = token
        self._sender = sender
        self._findings = findings
        self._operations = [
            (method.upper(), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if path not in {"/metrics", "/docs"}
        ]

    async def once(self) -> None:
        """Make one request, and note what is wrong with its answer."""
        method, path, operation = self._rng.choice(self._operations)
        request, wait_s = self._request(method, path, operation)
        began_s = time.monotonic()
        answer = await self._sender.send(request)
        took_s = time.monotonic() - began_s
        self._judge(f"{method} {path}", answer, request, took_s - wait_s)

    def _request(self, method: str, path: str, operation: Any) -> tuple[bytes, float]:
        ids = self._world.ids()
        values: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        schemas: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for each in operation.get("parameters", ()):
            parameter = self._edges.resolved(each)
            place, name, schema = parameter["in"], parameter["name"], parameter.get("schema", {})
            schemas[place][name] = schema
            if name in ids:
                values[place][name] = ids[name]
            elif parameter.get("required") and name != "Authorization":
                values[place][name] = self._edges.good(schema)
        if operation.get("requestBody"):
            (content,) = list(operation["requestBody"]["content"].items())[:1]
            body_type, body_schema = content[0], content[1]["schema"]
            body: Any = self._with_ids(self._edges.good(body_schema), ids)
        else:
            body_type, body_schema, body = "", None, Raw("")
        places = (
            [place for place in ("path", "query") if schemas[place]]
            + ["header", "token"]
            + ["body"] * 4 * (body_schema is not None)
        )
        token = self._token
        for place in self._rng.choices(places, k=self._rng.choice((1, 1, 1, 2))):
            if place == "body":
                body = self._edges.spoilt(body_schema or {}, body)
            elif place == "token":
                token = self._tokens.spoilt(self._rng.choice(CUSTOMERS))
            elif place == "header":
                name = self._rng.choice(list(HEADERS))
                values["header"][name] = self._rng.choice(HEADERS[name])
            else:
                name = self._rng.choice(list(schemas[place]))
                values[place][name] = self._edges.edge(schemas[place][name])
        return self._written(method, path, values, token, body_type, body)

    def _written(
        self, method: str, path: str, values: dict[str, dict[str, Any]], token: str, body_type: str, body: Any
    ) -> tuple[bytes, float]:
        for name, value in values["path"].items():
            path = path.replace("{" + name + "}", _quoted(value) or "%20")
        query = "&".join(
            f"{_quoted(name)}={_quoted(each)}"
            for name, value in values["query"].items()
            for each in (value if isinstance(value, list) else [value])[:50]
        )
        headers = [(name, _header(value)) for name, value in values["header"].items()]
        named = {name.lower() for name, _ in headers}
        if method in {"POST", "PUT", "DELETE"} and "idempotency-key" not in named:
            headers.append(("idempotency-key", f"fuzz-{self._rng.getrandbits(64)}"))
        if self._rng.random() < 0.02 and headers:
            headers.append(headers[-1])
        data = write(body).encode("utf-8", "surrogatepass")
        if data and self._rng.random() < 0.03:
            data = data[: self._rng.randrange(len(data))] + self._rng.choice(
                (b"", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf")
            )
        if data and body_type and "content-type" in named:
            # The writer below gives JSON's; the one at the edge takes its place.
            lines = [(name, value) for name, value in headers if name.lower() != "content-length"]
            lines.append(("content-length", str(len(data))))
            request = (
                request_bytes(method, f"{path}?{query}" if query else path, token=token, headers=tuple(lines)) + data
            )
        else:
            headers = [(name, value) for name, value in headers if name.lower() != "content-length" or not data]
            request = request_bytes(
                method, f"{path}?{query}" if query else path, token=token, body=data, headers=tuple(headers)
            )
        waits = [value for name, value in headers if name.lower() == "prefer"]
        return request, 10.0 if waits else 0.0

    def _with_ids(self, value: Any, ids: dict[str, str]) -> Any:
        if isinstance(value, dict):
            return {name: ids.get(name, self._with_ids(each, ids)) for name, each in value.items()}
        if isinstance(value, list):
            return [self._with_ids(each, ids) for each in value]
        return value

    def _judge(self, operation: str, answer: Response, request: bytes, took_s: float) -> None:
        self._findings.answers[f"REST {answer.status}"] += 1
        shown = f"{request!r} -> {answer.status} {answer.body[:300]!r}"
        if answer.status == 0 or answer.status >= 500:
            self._findings.add(f"{operation}: {answer.status} {_code(answer)}", shown)
        elif answer.status >= 400 and not _code(answer):
            self._findings.add(f"{operation}: {answer.status} without a code", shown)
        elif took_s > ANSWER_MAX_S:
            self._findings.add(f"{operation}: answered late", f"{took_s:.1f} s: {shown}")


def _code(answer: Response) -> str:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    try:
        return str(msgspec.json.decode(answer.body)["code"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else write(value)
    return quote(text[:20_000].encode("utf-8", "surrogatepass"), safe="")


def _header(value: Any) -> str:
    """A value that stays in its line and its header; everything else may come."""
    text = value if isinstance(value, str) else write(value)
    return text[:20_000].encode("latin-1", "replace").decode("latin-1").replace("\r", "").replace("\n", "")
