"""What has to be done now and then and belongs to no order: each chore in bounded steps, one step of one chore at a time.

A chore may be done twice or not at all for a while; its statements are safe to repeat, by any number of processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from storage.errors import StorageUnavailable

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicJob:
    """``step`` does a bounded piece and gives how much it did, and whether there is more to do now."""

    name: str
    every_s: float
    step: Callable[[], Awaitable[tuple[int, bool]]]


class PeriodicJobs:
    """Does chores for ever, each when it is due; the pause between two steps leaves the database to others."""

    def __init__(
        self,
        jobs: Sequence[PeriodicJob],
        *,
        monotonic: Callable[[], float],
        pause_s: float = 0.05,
        look_every_s: float = 1.0,
        failed_wait_s: float = 5.0,
    ) -> None:
        self._jobs = jobs
        self._monotonic = monotonic
        self._pause_s = pause_s
        self._look_every_s = look_every_s
        self._failed_wait_s = failed_wait_s
        self._due_s = {job.name: 0.0 for job in jobs}
        self._done = {job.name: 0 for job in jobs}
        self._failed = 0

    def counts(self) -> dict[str, int]:
        """How much was done of each chore, and how often a step failed, for the metrics."""
        return {**{f"{name}_total": done for name, done in self._done.items()}, "chores_failed_total": self._failed}

    async def run(self) -> None:
        """Do what is due, for ever; a step that fails is tried again later."""
        while True:
            for job in self._jobs:
                if self._monotonic() >= self._due_s[job.name]:
                    await self._step(job)
            waits = [due_s - self._monotonic() for due_s in self._due_s.values()]
            await asyncio.sleep(max(self._pause_s, min([self._look_every_s, *waits])))

    async def _step(self, job: PeriodicJob) -> None:
        try:
            done, is_more = await job.step()
        except StorageUnavailable as error:
            log.warning("chore_not_done", job=job.name, error=str(error))
        except Exception:  # a chore that fails must not keep the others from being done
            log.exception("chore_failed", job=job.name)
        else:
            self._done[job.name] += done
            self._due_s[job.name] = self._monotonic() + (0.0 if is_more else job.every_s)
            return
        self._failed += 1
        self._due_s[job.name] = self._monotonic() + self._failed_wait_s
