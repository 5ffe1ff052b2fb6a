"""Behind ``./dev migrate``: brings the database to the schema of this release.

    python -m local.migrate            apply what is missing
    python -m local.migrate --check    only say what is missing

The database is the one that ``ORDERSVC_DATABASE_URL`` names, or that of the running service, by ``endpoints.json`` in the state
folder.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import asyncpg

from local.endpoints import url_of
from local.errors import LocalError
from settings import Settings, settings_or_exit
from storage.errors import MigrationFailed, StorageUnavailable, WrongSchema
from storage.migrate import check_schema, migrate


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; gives the exit code (1: the schema is not the one of this release, 2: no database)."""
    asked = _parser().parse_args(arguments)
    try:
        url = _database_url(settings_or_exit())
        if asked.check:
            asyncio.run(check_schema(url))
            print("the database has the schema of this release")
        else:
            applied = asyncio.run(migrate(url))
            print("\n".join(f"applied {name}" for name in applied) or "there was nothing to apply")
        return 0
    except (WrongSchema, MigrationFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (LocalError, StorageUnavailable) as error:
        print(error, file=sys.stderr)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        print(f"PostgreSQL can't be asked: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


def _database_url(configured: Settings) -> str:
    return url_of(configured.database_url.get_secret_value(), configured.state_dir, "database", "PostgreSQL")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev migrate", description="Bring the database to this release's schema.")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
