"""The other end of `second_owner.py`: starts that program, and tells it what to take over and when."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass

from tests.acceptance.started import ROOT

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Whose orders were taken over, and the versions of those that were changed by it."""

    bereft: list[str]
    versions: dict[str, int]


class SecondOwner:
    """One such program, for one taking over. Every method raises ``OSError`` or ``TimeoutError`` where it fails."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_ADDRESS": endpoints["ray_address"],
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": endpoints["ray_token_file"],
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        self._program: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Return when it is attached to Ray and waits."""
        pipe = asyncio.subprocess.PIPE
        self._program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.second_owner"),
            env=self._environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        await self._line()

    async def take_over(self, *, pick: float = 0.0, ship: list[str] | None = None) -> TakenOver:
        """Have it done, and return at once: taking leave of Ray takes the program seconds, see ``ended``."""
        program = self._program
        if program is None or program.stdin is None:
            raise OSError("it was not started")
        program.stdin.write(json.dumps({"pick": pick, "ship": ship or []}).encode() + b"\n")
        said = json.loads(await self._line())
        return TakenOver(said["bereft"], said["versions"])

    async def ended(self) -> None:
        """Return when the program is gone."""
        if self._program is not None:
            await self._program.wait()

    async def _line(self) -> bytes:
        program = self._program
        if program is None or program.stdout is None:
            raise OSError("it was not started")
        try:
            line = await asyncio.wait_for(program.stdout.readline(), LIMIT_S)
        except TimeoutError:
            line = b""
        if not line:
            if program.returncode is None:
                program.kill()
            _, said = await program.communicate()
            raise OSError(f"the program that bypasses the router has failed: {said.decode(errors='replace')[-200:]}")
        return line
