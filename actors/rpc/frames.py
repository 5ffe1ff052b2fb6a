"""The frames of a connection: four bytes of length and a MessagePack array, those of one turn of the loop in one write.

client: ``[0, secret]`` · ``[1]`` ping · ``[2, number, method, arguments]`` · ``[3, number]`` the result is not awaited any more
server: ``[1]`` pong · ``[4, number, result]`` · ``[5, number, error]``
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import structlog

log = structlog.get_logger()


HANDSHAKE, PING, CALL, FORGET, RESULT, ERROR = range(6)
FIRST_FRAME_MAX_BYTES = 512
FRAME_MAX_BYTES = 64 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a process listens for connections, and the secret that opens them; see ``directory.py``."""

    host: str
    port: int
    secret: str
    pid: int


class FrameProtocol(asyncio.Protocol):
    """One end of a connection: whole frames in, frames out, those of one turn of the loop in one write."""

    def __init__(self, frame_max_bytes: int) -> None:
        self.frame_max_bytes = frame_max_bytes
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes; they only look alike.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= 4:  # noqa: PLR2004 - the four bytes of the length
                length = int.from_bytes(data[at : at + 4], "big")
                self._check_length(length)
                if end - at - 4 < length:
                    break
                at += 4 + length
                self.frame(_decode(memoryview(data)[at - length : at]))
        except (ValueError, TypeError, IndexError, msgspec.MsgspecError) as error:
            log.warning("link_misused", error=str(error))
            self.close()
            return
        self._rest = data[at:] if at < end else b""

    def _check_length(self, length: int) -> None:
        if length > self.frame_max_bytes:
            raise ValueError(f"a frame of {length} bytes, {self.frame_max_bytes} are read at most")

    def frame(self, frame: list[Any]) -> None:
        """Take a frame in."""
        raise NotImplementedError

    def send(self, frame: tuple[Any, ...]) -> None:
        """Write a frame, together with what else is written in this turn of the loop."""
        data = _encode(frame)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(len(data).to_bytes(4, "big"))
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(out)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()
