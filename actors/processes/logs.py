"""Logs of every process: one JSON object a line, with the process's name; nothing personal, no secrets."""

from __future__ import annotations

import logging

import structlog


def set_up_logs(level: str, *, process: str) -> None:
    """Configure structlog for this process. ``level`` is a name such as ``INFO``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
