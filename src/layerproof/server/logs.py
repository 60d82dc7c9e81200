"""Structured logs: one JSON object a line on standard error. No log line holds a token, a password
or a request's body; addresses and names that others chose are cut and stay on one line.

A log that cannot be written, because its disk is full or nobody reads it, costs that line and
nothing else: what is logged was done or decided already.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

_MOST = 500


def configure(*, as_json: bool) -> None:
    """Once per process."""
    render: Any = structlog.processors.JSONRenderer() if as_json else _plain
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _bounded,
            render,
        ],
        logger_factory=lambda *_: _Lines(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries: warnings and worse, in the same form.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Foreign())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def logger() -> Any:
    """The service's logger."""
    return structlog.get_logger("layerproof")


class _Lines(structlog.PrintLogger):
    """Writes what can be written."""

    def msg(self, message: str) -> None:
        """One line."""
        with suppress(OSError, ValueError):  # ValueError: it was closed
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _bounded(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _MOST and key != "exception":
            event[key] = value[:_MOST] + "…"
    return event


def _plain(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    time, level, said = event.pop("timestamp"), event.pop("level"), event.pop("event")
    rest = " ".join(f"{key}={str(value)!r}" for key, value in event.items())
    return f"{time} {level:8} {said} {rest}".rstrip()


class _Foreign(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = {
            "event": record.getMessage()[:_MOST],
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": self.formatTime(record),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        rendered = structlog.processors.JSONRenderer()(None, "", said)
        return rendered if isinstance(rendered, str) else rendered.decode()
