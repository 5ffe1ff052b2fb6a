"""Cursors outlive a change of the secrets that the service is given: the key that signs them is in the database."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest
from pydantic import SecretStr

from api.access.cursors import Cursors
from api.configuration import limits_of
from api.problems import Problem
from settings import Settings
from storage.cursor_keys import cursor_keys
from storage.reads.order_queries import OrderQueries

FILTERS = {"customer_id": "c-1001"}
POSITION = (1, "0198f7a2-8e11-7aa0-9a0e-2f8f6d3c1b00")


async def cursors_of(database_url: str, jwt_key: str) -> Cursors:
    """As a process makes them when it starts with this key."""
    queries = await OrderQueries.open(database_url, application_name="test-cursors")
    try:
        keys = await cursor_keys(queries.database)
    finally:
        await queries.close()
    limits = limits_of(Settings(jwt_key=SecretStr(jwt_key), database_url=SecretStr(database_url)))
    return Cursors(replace(limits, cursor_secrets=keys + limits.cursor_secrets).cursor_secrets)


async def test_a_cursor_is_read_after_the_key_of_tokens_has_changed(database_url: str) -> None:
    """Everybody who was paging through a list was told ``invalid_cursor``."""
    before = (await cursors_of(database_url, "a" * 32)).seal(FILTERS, POSITION)
    after = await cursors_of(database_url, "b" * 32)
    assert after.open(FILTERS, before) == POSITION
    with pytest.raises(Problem, match="invalid_cursor"):
        after.open({"customer_id": "c-1002"}, before)


async def test_a_cursor_of_the_release_before_is_read(database_url: str) -> None:
    limits = limits_of(Settings(jwt_key=SecretStr("a" * 32)))
    before = Cursors(limits.cursor_secrets).seal(FILTERS, POSITION)
    assert (await cursors_of(database_url, "a" * 32)).open(FILTERS, before) == POSITION


async def test_a_new_key_signs_and_the_old_one_is_accepted_until_it_is_deleted(database_url: str) -> None:
    before = (await cursors_of(database_url, "a" * 32)).seal(FILTERS, POSITION)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("insert into cursor_keys (key) values (sha256('another'))")
        assert (await cursors_of(database_url, "a" * 32)).open(FILTERS, before) == POSITION
        await connection.execute("delete from cursor_keys where key <> sha256('another')")
        with pytest.raises(Problem, match="invalid_cursor"):
            (await cursors_of(database_url, "a" * 32)).open(FILTERS, before)
    finally:
        await connection.close()


async def test_a_database_is_made_with_a_key(database_url: str) -> None:
    queries = await OrderQueries.open(database_url, application_name="test-cursors")
    try:
        [key] = await cursor_keys(queries.database)
    finally:
        await queries.close()
    assert len(key) == 32
