"""Idempotency keys: how a client's key becomes an order's id and a message's id, and how two requests are compared.

Pure. Whether a message was seen before is known only to the order's owner.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

import msgspec

from api.problems import Problem
from api.shapes.ids import as_uuid
from domain.promotions import code_key

KEY_MAX_CHARACTERS = 255
_WITH_CODE = re.compile(r"/api/(?:promotions|orders/[^/]+/discounts)/")
_canonical = msgspec.json.Encoder(order="sorted").encode


def read_key(header: str | None) -> str | None:
    """Read an ``Idempotency-Key``, quoted (a structured-field string) or bare; None where there is none.

    Raises ``Problem`` ``invalid_idempotency_key`` where it is empty, longer than ``KEY_MAX_CHARACTERS``, or has characters
    other than printable ASCII.
    """
    if header is None:
        return None
    key = header
    if len(key) > 1 and key[0] == '"' and key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not key or len(key) > KEY_MAX_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise Problem(
            "invalid_idempotency_key", f"An Idempotency-Key has 1 to {KEY_MAX_CHARACTERS} printable ASCII characters."
        )
    return key


def order_id_for(subject: str, key: str, customer_id: str | None = None) -> str:
    """The id of the order that a caller makes with ``key``: asked twice, it is the same order.

    ``customer_id`` is the token's. Without it the id is the one that the first release gave to every caller.
    """
    return _derived_uuid("order", subject, key, customer_id)


def message_id_for(subject: str, method: str, path: str, key: str, customer_id: str | None = None) -> str:
    """The id of the message that a keyed request becomes; a key belongs to its subject, the token's customer, method and path.

    Without ``customer_id`` the id is the one that the first release gave to every caller.
    """
    return _derived_uuid("message", subject, method, path, key, customer_id)


@dataclass(frozen=True, slots=True)
class MessageIds:
    """``id`` of the message that a keyed request becomes; ``former``: those that its first sending may be remembered by."""

    id: str
    former: tuple[str, ...]


def message_ids_of(subject: str, customer_id: str | None, method: str, path: str, key: str) -> MessageIds:
    """Derive a message's id, however the ids and the code in its path and a key that is a UUID are written, and those that were
    derived before.

    The first release took the path as it was written, and no notice of the token's customer; a key was taken as it was written.
    """
    plain, plain_key = canonical_path(path), canonical_key(key)
    own = message_id_for(subject, method, plain, plain_key, customer_id)
    former = [message_id_for(subject, method, p, k) for k in (plain_key, key) for p in (plain, path)]
    former.append(message_id_for(subject, method, plain, key, customer_id))
    return MessageIds(own, tuple(each for each in dict.fromkeys(former) if each != own))


def canonical_key(key: str) -> str:
    """Write a key that is a UUID in lower case; another one stays as it is."""
    return as_uuid(key) or key


def canonical_path(path: str) -> str:
    """Write the UUIDs and the discount code of a path in lower case: a key belongs to a thing, not to how its id was written."""
    if path.islower():
        return path
    path = "/".join([as_uuid(part) or part for part in path.split("/")])
    found = _WITH_CODE.match(path)
    return path if found is None else path[: found.end()] + code_key(path[found.end() :])


def new_message_id() -> str:
    """Give the id of a message that will not be repeated."""
    return str(uuid.uuid4())


def fingerprint(content: object, query: list[tuple[str, str]]) -> str:
    """Digest of a request's content, by which a repeat is distinguished from a reuse: JSON compared as JSON, and the query."""
    return hashlib.blake2b(_canonical((content, sorted(query))), digest_size=16).hexdigest()


def without_case_of_codes(content: object) -> object:
    """Write the discount codes of a command's content as they are compared."""
    if not isinstance(content, dict):
        return content
    keyed: dict[str, object] = {}
    if "code" in content:
        keyed["code"] = code_key(content["code"])
    if "discount_codes" in content:
        keyed["discount_codes"] = [code_key(each) for each in content["discount_codes"]]
    return {**content, **keyed} if keyed else content


def _derived_uuid(*parts: str | None) -> str:
    """A UUID of version 8 (RFC 9562) from a digest. Each part follows its length, so no two lists of parts are alike."""
    text = "".join([f"{len(part)}:{part}" for part in parts if part is not None])
    h = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"
