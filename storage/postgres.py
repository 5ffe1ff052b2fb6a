"""The way to PostgreSQL: one pool a process, bounded in connections and in every wait, and its errors sorted into ours.

It knows no table. Connections that a restart of the server broke are replaced when the next one asks for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from storage.errors import CommitUnknown, StorageUnavailable, Unstorable, Unwritable

Record = asyncpg.Record
if TYPE_CHECKING:  # the driver's classes take parameters in its stubs alone
    Connection = asyncpg.pool.PoolConnectionProxy[Record] | asyncpg.Connection[Record]
else:
    Connection = asyncpg.Connection

# The driver looks types of arrays up in the catalogue when a connection first meets them: this makes it meet all at
# once, before a caller waits for that connection.
TOUCH_TYPES = """
select $1::uuid[], $2::text[],
    $3::bytea[], $4::timestamptz[], $5::bigint[], $6::integer[], $7::smallint[], $8::boolean[]
"""

# A writer's statements are planned once. A plan that is made while the tables are empty would read them whole, and be
# kept while they grow: so the settings say that looking up by key is cheap, which always holds for writers.
WRITER_SETTINGS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "random_page_cost": "0.1"}
# A reader's statements are planned each time: the best way to a value that a million orders have is the worst one to a value
# that three have.
READER_SETTINGS = {"plan_cache_mode": "force_custom_plan"}

# The server was stopped while it worked: it may have committed and not been able to say so.
STOPPED = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.PostgresConnectionError)
# The driver's own confusion belongs to them: it is what a statement gets that is sent while such an end is being read.
LOST = (*STOPPED, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
# What encoding raises; the driver's own error for that is a ValueError too.
UNENCODABLE = (msgspec.MsgspecError, OverflowError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds on the pool, unit last. Each inner wait is shorter than the one around it."""

    max_connections: int = 8
    min_connections: int = 1
    acquire_timeout_s: float = 2.0
    connect_timeout_s: float = 3.0
    statement_timeout_s: float = 4.0
    client_grace_s: float = 0.5
    idle_in_transaction_timeout_s: float = 5.0
    cached_statements_max: int = 256


class Database:
    """A pool of connections. Made by ``open_database``."""

    def __init__(self, pool: asyncpg.Pool[Record], limits: PoolLimits) -> None:
        self._pool = pool
        self._limits = limits

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises ``StorageUnavailable`` when none is to be had in time; errors of its use pass
        through.
        """
        try:
            lent = await self._pool.acquire(timeout=self._limits.acquire_timeout_s)
        except (asyncpg.PostgresError, *LOST) as error:
            raise StorageUnavailable(f"no connection: {_told(error)}") from error
        try:
            yield lent
        except (CommitUnknown, StorageUnavailable) as error:
            if isinstance(error.__cause__, LOST):
                with suppress(asyncpg.InterfaceError):  # it may be closed and given back already
                    lent.terminate()  # its state is unknown
            raise
        finally:
            await self._pool.release(lent)

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Read rows, or write what may be written twice. Raises ``StorageUnavailable``."""
        async with self.connection() as lent:
            with certain():
                return await lent.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """The first row, or None. Raises ``StorageUnavailable``."""
        rows = await self.fetch(sql, *arguments)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """The first value of the first row, or None. Raises ``StorageUnavailable``."""
        row = await self.fetchrow(sql, *arguments)
        return None if row is None else row[0]

    async def close(self) -> None:
        """Wait for what is under way, then close; what doesn't end in time is cut off."""
        try:
            async with asyncio.timeout(self._limits.statement_timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def open_database(
    database_url: str,
    *,
    application_name: str,
    limits: PoolLimits | None = None,
    writer: bool = False,
    warm: Callable[[Connection], Awaitable[object]] | None = None,
) -> Database:
    """Open a pool. Raises ``StorageUnavailable``.

    ``writer``: its statements are few and find their rows by key (``WRITER_SETTINGS``). ``warm``: done with each new
    connection before it is lent.
    """
    limits = limits or PoolLimits()

    async def prepare(connection: asyncpg.Connection[Record]) -> None:
        await connection.fetchrow(TOUCH_TYPES, *([[]] * 8))
        if warm is not None:
            with suppress(asyncpg.PostgresError):  # a server that only reads now is of use all the same
                await warm(connection)

    async def clean(connection: asyncpg.Connection[Record]) -> None:
        # Nothing here changes a session, so there is nothing to reset; that saves a round trip each time.
        if connection.is_in_transaction():
            connection.terminate()

    settings = {
        "application_name": application_name,
        "jit": "off",
        "timezone": "UTC",
        "statement_timeout": _milliseconds(limits.statement_timeout_s),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle_in_transaction_timeout_s),
    } | (WRITER_SETTINGS if writer else READER_SETTINGS)
    try:
        pool = await asyncpg.create_pool(
            database_url,
            min_size=limits.min_connections,
            max_size=limits.max_connections,
            timeout=limits.connect_timeout_s,
            command_timeout=limits.statement_timeout_s + limits.client_grace_s,
            statement_cache_size=limits.cached_statements_max,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=65_536,
            max_inactive_connection_lifetime=0,
            server_settings=settings,
            init=prepare,
            reset=clean,
        )
    except (asyncpg.PostgresError, *LOST) as error:
        raise StorageUnavailable(f"PostgreSQL can't be reached: {_told(error)}") from error
    return Database(pool, limits)


@contextmanager
def certain() -> Iterator[None]:
    """For what is harmless when done twice: a failure becomes ``StorageUnavailable``, and ``Unstorable`` where an
    argument can't be.
    """
    try:
        yield
    except (asyncpg.PostgresError, *LOST) as error:
        if is_poison(error) and not isinstance(error, asyncpg.IntegrityConstraintViolationError):
            raise Unstorable(_told(error)) from error
        raise StorageUnavailable(_told(error)) from error


@contextmanager
def committing() -> Iterator[None]:
    """For a commit: ``CommitUnknown`` where the connection was lost, ``StorageUnavailable`` where the server refused,
    and ``Unwritable`` where the data itself is the cause.
    """
    try:
        yield
    except (asyncpg.PostgresError, *LOST, *UNENCODABLE) as error:
        if is_poison(error):
            raise _unwritable(error) from error
        if isinstance(error, LOST):
            raise CommitUnknown(_told(error)) from error
        raise StorageUnavailable(_told(error)) from error


def is_poison(error: BaseException) -> bool:
    """Tell whether the data caused the error, so that repeating can't help: it can't be encoded, is out of range,
    breaks a constraint (classes 22 and 23), or is too large (class 54).
    """
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, UNENCODABLE) or state[:2] in {"22", "23", "54"}


def _unwritable(error: BaseException) -> Unwritable:
    constraint = getattr(error, "constraint_name", None)
    column = getattr(error, "column_name", None)
    state = getattr(error, "sqlstate", None)
    return Unwritable(f"{type(error).__name__}({constraint or column or state or 'can not be encoded'})", constraint)


def _told(error: BaseException) -> str:
    """An error in a line, without what it was about: values may be personal."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
