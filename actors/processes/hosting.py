"""How a process lives in a Ray actor: Ray makes the actor, and the process starts by itself, in a thread with its own event loop.

The actor has no methods: Ray is not asked anything after it has made it. Settings and secrets are read here, from the environment of
the node and the files that it names; Ray gets the name of the process and nothing else.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from typing import Any

import structlog
import uvloop

from actors.processes.logs import set_up_logs
from actors.processes.process import Process
from settings import WrongSettings, settings_of_process
from storage.errors import StorageUnavailable, WrongSchema

START_WAIT_FIRST_S = 0.1
START_WAIT_MAX_S = 2.0
END_WITHIN_S = 5.0

log = structlog.get_logger()

_hosted: dict[type[Process], type[Any]] = {}


class ProcessLife:
    """A process from its start to its end: begun again until it has started, ended well when Ray ends it."""

    def __init__(self, kind: type[Process], name: str) -> None:
        self._kind = kind
        self._name = name
        self._loop = uvloop.new_event_loop()
        self._end_wanted = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="process", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def end(self) -> None:
        """End the process well; wait for that for ``END_WITHIN_S`` at most."""
        self._loop.call_soon_threadsafe(self._end_wanted.set)
        self._thread.join(END_WITHIN_S)

    def _run(self) -> None:
        set_up_logs("INFO", process=self._name)  # until the settings are known
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        process = await self._started()
        await self._end_wanted.wait()
        await process.stop()

    async def _started(self) -> Process:
        """The process, once it has started; what keeps it from that is logged, and it is begun anew after a while."""
        wait_s = START_WAIT_FIRST_S
        while True:
            try:
                process = self._kind(self._name, settings_of_process())
                await process.start()
                return process
            except (WrongSettings, WrongSchema, StorageUnavailable) as error:
                log.warning("process_not_started", error=str(error), again_in_s=wait_s)
            except Exception:
                log.exception("process_not_started", again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, START_WAIT_MAX_S)


def hosted(kind: type[Process]) -> type[Any]:
    """The class of which Ray makes an actor, by the name of the process' own class, as operators know it."""
    if kind in _hosted:
        return _hosted[kind]

    class Hosted:
        def __init__(self, name: str) -> None:
            self._name = name
            self._life = ProcessLife(kind, name)

        def __repr__(self) -> str:
            return f"{kind.__name__}({self._name})"

    Hosted.__name__ = Hosted.__qualname__ = kind.__name__
    return _hosted.setdefault(kind, Hosted)
