"""The errors of storage, distinguished by the one question that matters: can it have been committed?"""

from __future__ import annotations


class StorageUnavailable(Exception):
    """The database can't do it now. Certainly nothing was committed: trying again is safe."""


class CommitUnknown(Exception):
    """The connection was lost, or time ran out, while a commit was under way: it may have been done or not.

    Only a new token of one's own lease (``OrderStore.renew``) and reading back afterwards shows it.
    """


class Unwritable(Exception):
    """A commit that can never be written, because of its own data.

    The message says what was wrong, without the data: that may be personal. ``constraint``: the one that it breaks, or
    None.
    """

    def __init__(self, reason: str, constraint: str | None) -> None:
        super().__init__(reason)
        self.constraint = constraint


class Unstorable(ValueError):
    """An argument that no column can hold (a NUL character, a number too great): no row has it, and none can get it."""


class UndecodableSnapshot(Exception):
    """A stored order can't be read: it is set aside with an alert, and the others go on."""


class MigrationFailed(Exception):
    """The schema can't be brought up to date: a file that was applied has changed, or one can't be applied."""


class WrongSchema(Exception):
    """The database has another schema than this release needs. The message says which, and what to do."""
