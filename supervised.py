"""The only place that starts tasks: each has a name, is kept until it has ended, and none ends unnoticed.

asyncio keeps no reference to a task, and reports one that failed when it is collected as garbage, if ever. Here a loop that fails
is logged, counted and started again; a piece of work that fails is logged and counted. It knows the standard library only but for
the log, and every part of the service may use it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """How a loop that failed is started again: the wait doubles from ``wait_first_s`` to ``wait_max_s`` and is the first again once
    the loop has run for ``lasting_s``.
    """

    wait_first_s: float = 0.2
    wait_max_s: float = 30.0
    lasting_s: float = 60.0


RESTARTS = Restarts()

_running: set[asyncio.Task[Any]] = set()
_failures: Counter[str] = Counter()
_listeners: list[Callable[[str], None]] = []


def supervised(
    name: str, work: Callable[[], Awaitable[None]], *, restarts: Restarts = RESTARTS, **fields: object
) -> asyncio.Task[None]:
    """Run a loop until it returns by itself or the task is cancelled; when it raises it is started again after a wait.

    ``name`` is constant; ``fields`` say in the log which one of its kind it is.
    """
    return _start(name, _keep(name, work, restarts, fields))


def every(
    name: str,
    every_s: float,
    step: Callable[[], Awaitable[object]],
    *,
    expected: tuple[type[Exception], ...] = (),
    on_failed: Callable[[Exception], None] | None = None,
    **fields: object,
) -> asyncio.Task[None]:
    """Do a step again and again, ``every_s`` after the one before has ended, also where one fails.

    ``expected``: what a step may raise now and then, which is logged only. Anything else is a failure, and ``on_failed`` gets it.
    """

    async def rounds() -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await step()
            except expected as error:
                log.warning("step_put_off", task=name, error=str(error), **fields)
            except Exception as error:  # noqa: BLE001 - a step that fails is followed by another
                note_failure(name, error, **fields)
                if on_failed is not None:
                    on_failed(error)

    return _start(name, _keep(name, rounds, RESTARTS, fields))


def supervised_once(name: str, work: Coroutine[Any, Any, None], **fields: object) -> asyncio.Task[None]:
    """Do a piece of work that is not awaited, once; a failure is logged and counted."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            note_failure(name, error, **fields)

    task = _start(name, work)
    task.add_done_callback(ended)
    return task


def awaited(name: str, work: Awaitable[T]) -> asyncio.Task[T]:
    """Start a piece of work whose result, or failure, its starter awaits."""
    return _start(name, work if asyncio.iscoroutine(work) else _result(work))


def note_failure(name: str, error: BaseException, **fields: object) -> None:
    """Log and count what a loop did not expect and goes on from."""
    _failures[name] += 1
    log.error("task_failed", task=name, error=type(error).__name__, exc_info=error, **fields)
    for listener in _listeners:
        listener(name)


def failures_total() -> int:
    """How often a task of this process has failed since it started."""
    return _failures.total()


def on_failure(listener: Callable[[str], None]) -> None:
    """Have ``listener`` called with the task's name at every failure; for a process that counts in a way of its own."""
    _listeners.append(listener)


def _start(name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def _result(work: Awaitable[T]) -> T:
    return await work


async def _keep(name: str, work: Callable[[], Awaitable[None]], restarts: Restarts, fields: dict[str, object]) -> None:
    loop = asyncio.get_running_loop()
    wait_s = restarts.wait_first_s
    while True:
        started_s = loop.time()
        try:
            await work()
            return
        except Exception as error:  # noqa: BLE001 - the loop is needed after any error
            if loop.time() - started_s >= restarts.lasting_s:
                wait_s = restarts.wait_first_s
            note_failure(name, error, restart_in_s=wait_s, **fields)
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, restarts.wait_max_s)
