"""What can go wrong with what runs on this machine; the text is what the person at the terminal is told."""

from __future__ import annotations


class LocalError(Exception):
    """Something that `./dev` can't do; the message says what, why, and what to do about it."""


class NotReady(LocalError):
    """A process ended, or did not answer within its limit; the message ends with the last lines of its log."""


class NotUsable(LocalError):
    """What a setting names can't be used: a folder that can't be made or written, an address that nothing can listen on."""


class Taken(LocalError):
    """A port or a state folder is in use by somebody else."""
