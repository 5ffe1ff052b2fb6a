"""Behind ``./dev dead-letters``: partners' messages that could not be handled, listed, shown and sent again.

    python -m local.dead_letters list                 what is there, and why
    python -m local.dead_letters show KEY             one message, whole
    python -m local.dead_letters resend KEY...        to the inbox again, once the cause has been mended
    python -m local.dead_letters resend --all

The broker is that of the running service, by ``endpoints.json`` in the state folder, or the one that ``ORDERSVC_AMQP_URL``
names. Nothing is ever deleted from here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

from aiormq.exceptions import AMQPError

from local.endpoints import url_of
from local.errors import LocalError
from messaging.consuming.dead_letters import (
    LIST_MAX_LETTERS,
    DeadLetter,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    resend_dead_letters,
)
from settings import Settings, settings_or_exit

LIST_DEFAULT_LETTERS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; gives the exit code (1: nothing by that key, 2: the broker can't be asked)."""
    asked = _parser().parse_args(arguments)
    try:
        url = _amqp_url(settings_or_exit())
        match asked.what:
            case "list":
                return asyncio.run(_list(url, asked.limit))
            case "show":
                return asyncio.run(_show(url, asked.key))
            case _:
                return asyncio.run(_resend(url, None if asked.all else asked.keys, asked.limit))
    except LocalError as error:
        print(error, file=sys.stderr)
    except (AMQPError, OSError, TimeoutError) as error:
        print(f"RabbitMQ can't be asked: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


def one_line(letter: DeadLetter) -> str:
    """A letter in the list: its key, when it first came, what it is, why it is here."""
    detail = " ".join(letter.detail.split())
    tries = f", {letter.attempts} retries" if letter.attempts else ""
    return f"{letter.key}  {letter.first_received}  {letter.routing_key}  {letter.reason}{tries}: {detail}"


def whole(letter: DeadLetter) -> str:
    """A letter with all that is known of it; a body that is no text is shown as far as it is one."""
    head = {
        "key": letter.key,
        "message_id": letter.message_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "retries": letter.attempts,
        "exchange": letter.exchange,
        "routing_key": letter.routing_key,
        "first_received": letter.first_received,
        "bytes": letter.size_bytes,
    }
    return json.dumps(head, indent=2, ensure_ascii=False) + "\n\n" + letter.body.decode(errors="backslashreplace")


async def _list(url: str, limit: int) -> int:
    letters = await list_dead_letters(url, limit=limit)
    for letter in letters:
        print(one_line(letter))
    print(f"{len(letters)} of {await count_dead_letters(url)} dead letters")
    return 0


async def _show(url: str, key: str) -> int:
    letter = await find_dead_letter(url, key)
    if letter is None:
        print(f"there is no dead letter {key}", file=sys.stderr)
        return 1
    print(whole(letter))
    return 0


async def _resend(url: str, keys: Sequence[str] | None, limit: int) -> int:
    sent = await resend_dead_letters(url, keys, limit=limit)
    print(f"{sent} sent to the inbox again")
    return 0 if sent or keys is None else 1


def _amqp_url(configured: Settings) -> str:
    return url_of(configured.amqp_url.get_secret_value(), configured.state_dir, "amqp", "RabbitMQ")


def _limit(text: str) -> int:
    value = int(text)
    if not 1 <= value <= LIST_MAX_LETTERS:
        raise argparse.ArgumentTypeError(f"between 1 and {LIST_MAX_LETTERS}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev dead-letters", description="Messages that could not be handled.")
    commands = parser.add_subparsers(dest="what", required=True)
    listed = commands.add_parser("list", help="what is there, and why")
    listed.add_argument("--limit", type=_limit, default=LIST_DEFAULT_LETTERS, help="how many at most")
    shown = commands.add_parser("show", help="one message, whole")
    shown.add_argument("key")
    resent = commands.add_parser("resend", help="send to the inbox again")
    which = resent.add_mutually_exclusive_group(required=True)
    which.add_argument("keys", nargs="*", default=[], metavar="KEY")
    which.add_argument("--all", action="store_true", help="whichever come first, up to the limit")
    resent.add_argument("--limit", type=_limit, default=LIST_MAX_LETTERS, help="how many at most")
    return parser


if __name__ == "__main__":
    sys.exit(main())
