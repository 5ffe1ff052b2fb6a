"""Examples of a page are found, put into one script, and compared with what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.documents import differences, examples_of, faults_in, matches, outputs_of

PAGE = """
```bash
NAME=world
echo "hello $NAME"
```

It greets:

```text
hello w…d
```

```jsonc
{"an": "illustration"}
```

```python
import json, os
print(json.dumps({"name": os.environ["NAME"], "more": [1, 2]}))
```

```json
{"name": "world", "more": [1, "…"]}
```
"""


def test_examples_are_found_with_what_they_are_said_to_print() -> None:
    one, other = examples_of(PAGE)
    assert (one.language, one.shown_as, one.shown) == ("bash", "text", "hello w…d\n")
    assert (other.language, other.shown_as) == ("python", "json")


PRINTED = """
=== example 0
hello world

=== example 1
{"name": "world", "more": [1, 2]}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "about"),
    [
        ("hello w…d", "hello m…n", "hello world"),
        ('{"name": "world"', '{"name": "moon"', "$.name"),
        ('{"name": "world"', '{"title": "world"', "$.title is missing"),
        ('{"name": "world"', "{name", "Expecting"),
    ],
)
def test_what_is_wrong_is_found(right: str, wrong: str, about: str) -> None:
    outputs = outputs_of(PRINTED)
    assert list(faults_in(examples_of(PAGE), outputs)) == []
    (fault,) = faults_in(examples_of(PAGE.replace(right, wrong)), outputs)
    assert about in fault


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": True}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": "x…"}, {"a": "y"}),
        ({"a": None}, {"a": 0}),
        ([], {}),
    ],
)
def test_json_that_is_not_as_shown_is_found(shown: Any, real: Any) -> None:
    assert list(differences(shown, real))


def test_what_is_left_open_may_be_anything() -> None:
    real = {"a": {"b": [1, {"c": None}]}, "d": "ORD-000000001", "more": json.dumps}
    assert list(differences({"a": {"b": [1, "…"]}, "d": "ORD-…"}, real)) == []
    assert matches("one\n…\nlast", "one\ntwo\nthree\nlast\n")
    assert not matches("one\n…\nlast", "one\nlast but one")
