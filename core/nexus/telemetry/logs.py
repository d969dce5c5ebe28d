"""Log lines of key=value pairs on stderr.

    2026-01-31T12:00:00.123Z level=warning component=backend logger=nexus.store.cluster
    event="stored value skipped" key=nexus:{default}:plan error="not JSON"          (one line)

A module logs an event and its facts apart: ``_log.warning("stored value skipped", extra={"key":
key, "error": error})``. The logger's name is the module's.
"""

import json
import logging
import sys
import time
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BARE_FORBIDDEN = frozenset(' "=\n\t\r')


class KeyValueFormatter(logging.Formatter):
    """One line a record; a traceback follows on lines of its own."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, component: str) -> None:
        """``component`` is said on every line."""
        super().__init__()
        self.converter = time.gmtime
        self._component = component

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line, without the traceback."""
        facts: dict[str, object] = {
            "level": record.levelname.lower(),
            "component": self._component,
            "logger": record.name,
            "event": record.message,
        }
        facts |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        pairs = " ".join(f"{key}={_quoted(value)}" for key, value in facts.items())
        return f"{self.formatTime(record)} {pairs}"


def configure_logging(component: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything at ``level`` and above to ``stream`` (None: stderr), once per process.

    Raises:
        ValueError: ``level`` is not one of logging's names.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(KeyValueFormatter(component))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or _BARE_FORBIDDEN & set(text) else text
