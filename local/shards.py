"""Behind ``./dev shards``: the shards of a running service, more of them, fewer of them, without a stop.

    python -m local.shards list                 what each does, and how many partitions it owns
    python -m local.shards add [--standby]      one more, of the lowest free number
    python -m local.shards drain NAME           it gives away what it owns, and ends

What is asked for is written into the database, and the supervisor of the cell sees to it within seconds. The database is that of
the running service, by ``endpoints.json`` in the state folder, or the one that ``ORDERSVC_DATABASE_URL`` names.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from itertools import count

from actors.rpc.process_names import SHARD
from local.endpoints import url_of
from local.errors import LocalError
from settings import Settings, settings_or_exit
from storage.errors import StorageUnavailable
from storage.postgres import PoolLimits, open_database
from storage.processes import ProcessState
from storage.shards import ListedShard, Shards

GONE_AFTER_S = 15.0
HEADINGS = ("cell", "node", "shard", "state", "partitions", "seen")


class NotDoneError(Exception):
    """What was asked for can't be done; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; gives the exit code (1: it can't be done, 2: the database can't be asked)."""
    asked = _parser().parse_args(arguments)
    try:
        config = settings_or_exit()
        for line in asyncio.run(_do(asked, _database_url(config), asked.cell or config.cell)):
            print(line)
    except NotDoneError as error:
        print(error, file=sys.stderr)
        return 1
    except (LocalError, StorageUnavailable) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def table(shards: Iterable[ListedShard]) -> list[str]:
    """The lines of the list."""
    rows = [HEADINGS, *((s.cell, s.node, s.name, _state(s), str(s.partitions), _seen(s)) for s in shards)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def free_name(shards: Iterable[ListedShard], cell: str) -> str:
    """The name of the lowest number that no shard of the cell has; one that was drained and is gone has none."""
    taken = {
        shard.name
        for shard in shards
        if shard.cell == cell and (shard.role != ProcessState.DRAINING or _is_there(shard))
    }
    return next(name for name in (f"{SHARD}{k}" for k in count()) if name not in taken)


def owners_without(shards: Iterable[ListedShard], cell: str, name: str) -> list[ListedShard]:
    """The shards of all cells that can own partitions, but for this one."""
    return [
        shard
        for shard in shards
        if (shard.cell, shard.name) != (cell, name)
        and _is_there(shard)
        and shard.state in (ProcessState.SERVING, ProcessState.STANDBY)
        and shard.role != ProcessState.DRAINING
    ]


def _is_there(shard: ListedShard) -> bool:
    return shard.seen_s is not None and shard.seen_s <= GONE_AFTER_S


def _state(shard: ListedShard) -> str:
    state = "not up" if shard.state is None else shard.state
    return state if shard.role in (None, state) else f"{state} (to be {shard.role})"


def _seen(shard: ListedShard) -> str:
    return "never" if shard.seen_s is None else f"{shard.seen_s:.1f} s ago"


async def _do(asked: argparse.Namespace, database_url: str, cell: str) -> list[str]:
    database = await open_database(
        database_url, application_name="shards", limits=PoolLimits(max_connections=1), writer=True
    )
    shards = Shards(database)
    try:
        match asked.what:
            case "list":
                return table(await shards.listed())
            case "add":
                return await _add(shards, cell, ProcessState.STANDBY if asked.standby else ProcessState.SERVING)
            case _:
                return await _drain(shards, cell, asked.name)
    finally:
        await database.close()


async def _add(shards: Shards, cell: str, role: str) -> list[str]:
    while True:
        listed = await shards.listed()
        if all(shard.cell != cell for shard in listed):
            raise NotDoneError(f"no shard of a cell {cell} runs: nobody would start another one")
        name = free_name(listed, cell)
        if await shards.add(cell, name, role):
            return [f"{name} of {cell} is to be {role}"]


async def _drain(shards: Shards, cell: str, name: str) -> list[str]:
    listed = await shards.listed()
    _find(listed, cell, name)
    if not owners_without(listed, cell, name):
        raise NotDoneError(f"{name} of {cell} is the last one that can own orders")
    await shards.drain(cell, name)
    return [f"{name} of {cell} is to give away what it owns, and to end"]


def _find(listed: Iterable[ListedShard], cell: str, name: str) -> None:
    if all((shard.cell, shard.name) != (cell, name) for shard in listed):
        raise NotDoneError(f"there is no shard {name} of {cell}")


def _database_url(config: Settings) -> str:
    return url_of(config.database_url.get_secret_value(), config.state_dir, "database", "PostgreSQL")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev shards", description="The shards of a running service.")
    parser.add_argument("--cell", default="", help="whose shards (default: the one of the settings); list shows all")
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("list", help="what each does, and how many partitions it owns")
    added = commands.add_parser("add", help="one more, of the lowest free number")
    added.add_argument("--standby", action="store_true", help="it owns nothing until one that serves is lost")
    drained = commands.add_parser("drain", help="it gives away what it owns, and ends")
    drained.add_argument("name", metavar="NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
