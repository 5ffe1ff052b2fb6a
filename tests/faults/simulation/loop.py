"""Virtual time: an event loop whose clock jumps to the next timer, and processes that stop or die at any await.

Nothing is waited for: when nothing is ready the clock goes on to the next timer. What runs belongs to a process by its
context, so killing a process means that nothing of it ever runs again, no ``finally`` either, and stopping it that
everything of it waits. Effects on others travel as timers of the others.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from itertools import count
from typing import Any, TypeVar, TypeVarTuple, Unpack

HANDLES_MAX = 400_000

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProcessDied(BaseException):
    """Unwinds the code that was running when its process was killed."""


class Standstill(Exception):
    """Nothing is ready and no timer is set, or things go round in circles: a fault of whoever should have acted."""


class Process:
    """A simulated operating-system process: what it runs is told by the context."""

    def __init__(self, loop: VirtualLoop, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.is_dead = False
        self.is_stopped = False
        self._loop = loop
        self._parked: list[asyncio.Handle] = []
        self._context = copy_context()
        self._context.run(OWNER.set, self)

    def __repr__(self) -> str:
        return f"{self.name}#{self.number}"

    def kill(self) -> None:
        """As ``kill -9``: nothing of it runs any more."""
        self.is_dead = True
        self._parked.clear()

    def stop(self) -> None:
        """As SIGSTOP."""
        self.is_stopped = True

    def go_on(self) -> None:
        """As SIGCONT: what has become due meanwhile runs now."""
        self.is_stopped = False
        for handle in self._parked:
            self._loop.put(handle)
        self._parked.clear()

    def park(self, handle: asyncio.Handle) -> None:
        """Keep what can't run while it is stopped."""
        self._parked.append(handle)

    @property
    def context(self) -> Context:
        """A context in which code belongs to it."""
        return self._context.copy()

    def later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> None:
        """Run something in it after a while."""
        self._loop.call_later(delay_s, call, *arguments, context=self.context)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a task in it."""
        task: asyncio.Task[T] = self.context.run(self._loop.create_task, work)
        return task


OWNER: ContextVar[Process | None] = ContextVar("OWNER", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they were made ready; time is a number."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._waiting: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_closing = False
        self.handles = 0
        self.broken: list[str] = []

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self._is_closing

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._waiting.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + max(delay, 0.0), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=None if name is None else str(name), context=context)
        if self._is_closing:
            _forget(task)
        else:
            self._tasks.append(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """There are no threads: it is done at once."""
        done: asyncio.Future[T] = self.create_future()
        done.set_result(func(*args))
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessDied):
            self.broken.append(f"{context.get('message')}: {error!r}")

    # Running.

    def put(self, handle: asyncio.Handle) -> None:
        """Make a handle ready."""
        self._waiting.append(handle)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until ``work`` is done and give what it gives. Raises ``Standstill``."""
        events._set_running_loop(self)
        try:
            task = self.create_task(work)
            while not task.done():
                self._turn()
            result: T = task.result()
            return result
        finally:
            events._set_running_loop(None)

    def close(self) -> None:
        """Drop everything that is left, in silence; note what failed without anybody looking."""
        self._is_closing = True
        events._set_running_loop(self)
        try:
            for task in self._tasks:
                if not task.done():
                    _forget(task)
                elif not task.cancelled() and task._log_traceback:
                    error = task.exception()
                    if not isinstance(error, ProcessDied):
                        self.broken.append(f"{task.get_name()} ended with {error!r}")
            self._tasks.clear()
            self._waiting.clear()
            self._timers.clear()
        finally:
            events._set_running_loop(None)

    def _turn(self) -> None:
        if not self._waiting:
            self._jump()
        handle = self._waiting.popleft()
        if handle.cancelled():
            return
        owner: Process | None = handle._context.get(OWNER)  # type: ignore[attr-defined]
        if owner is not None:
            if owner.is_dead:
                return
            if owner.is_stopped:
                owner.park(handle)
                return
        self.handles += 1
        if self.handles > HANDLES_MAX:
            raise Standstill(f"{HANDLES_MAX} steps until {self._now_s:.3f} s")
        with suppress(ProcessDied):
            handle._run()

    def _jump(self) -> None:
        """Go on to the next timer, and make what is due then ready."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Standstill(f"nothing is left to do at {self._now_s:.3f} s")
        self._now_s = max(self._now_s, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now_s:
            _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._waiting.append(timer)


def _forget(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    with suppress(BaseException):
        task.get_coro().close()
