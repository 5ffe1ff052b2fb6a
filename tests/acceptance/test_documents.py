"""The pages for client teams, partner teams and operators say what is so: their examples are run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.documents import wrong_in
from tests.acceptance.metrics import gathered
from tests.acceptance.shop import Shop
from tests.acceptance.started import ROOT
from tests.acceptance.test_published import whole_life

DOCS = ROOT / "docs"
PAGE = """
```bash
NAME=world
echo "hello $NAME"
```
```text
hello w…d
```
```python
import json, os
print(json.dumps({"name": os.environ["NAME"]}))
```
```json
{"name": "world"}
```
"""


@pytest.mark.parametrize("name", ["clients.md", "partners.md", "operations.md"])
def test_the_examples_of_a_page_do_what_it_says(shop: Shop, name: str) -> None:
    api = {"http://127.0.0.1:8000": shop.endpoints["api"]}
    # What is free of such a place only names the state folder.
    state = {"ORDERSVC_STATE_DIR": str(shop.folder)}
    assert wrong_in(DOCS / name, api, state) == []


def test_the_operators_page_has_every_metric_and_actor_there_is_and_no_other_metric(shop: Shop) -> None:
    page = (DOCS / "operations.md").read_text()
    table = re.search(r"^\| metric \| is \|\n(.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert table is not None
    told = set(re.findall(r"`(ordersvc_[a-z_]+?)(?:_total)?`", table.group(1)))
    whole_life(shop)
    families = gathered(shop)
    assert set(families) == told
    for sample in families["ordersvc_process_up"].samples:
        name = re.sub(r"^order-shard-\d+$", "order-shard-<k>", sample.labels["process"])
        assert f"`{re.sub('^order-[0-9a-f-]{36}$', 'order-<order id>', name)}`" in page


@pytest.mark.parametrize(
    ("right", "wrong", "about"),
    [
        ("=world", "=moon", "hello moon"),
        ('{"name": "w', '{"name": "m', "$.name"),
        ("NAME=world", "false", "example 1 failed"),
        ("print(json", "raise SystemExit(json", "example 2 failed"),
    ],
)
def test_an_example_that_does_otherwise_is_found(tmp_path: Path, right: str, wrong: str, about: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert wrong_in(page, {}, {}) == []
    assert about in wrong_in(page, {right: wrong}, {})[0]
