"""Log lines: key=value pairs that a program can take apart again."""

import io
import logging
import os
import shlex
from collections.abc import Iterator

import pytest

from nexus.telemetry.logs import configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # Taken away first: configuring closes the handlers it finds, and these are the test runner's.
    root.handlers.clear()
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def pairs(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(line)[1:])


def test_log_line_has_the_event_and_its_facts(stream: io.StringIO) -> None:
    configure_logging("backend", stream=stream)
    logger = logging.getLogger("nexus.store.cluster")
    logger.warning("value skipped", extra={"key": "a b", "size": 3, "empty": ""})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert pairs(line) == {
        "level": "warning",
        "component": "backend",
        "logger": "nexus.store.cluster",
        "event": "value skipped",
        "key": "a b",
        "size": "3",
        "empty": "",
    }


def test_log_line_begins_with_the_time_in_utc(stream: io.StringIO) -> None:
    configure_logging("backend", stream=stream)
    logging.getLogger("nexus").info("up")
    assert stream.getvalue()[4] == "-"
    assert stream.getvalue().split()[0].endswith("Z")


def test_log_line_stays_one_line_whatever_the_text(stream: io.StringIO) -> None:
    configure_logging("backend", stream=stream)
    logging.getLogger("nexus").error("bad %s", 'a "quoted"\nline', extra={"why": "x=1\r\n"})
    assert stream.getvalue().count("\n") == 1
    assert '\\"quoted\\"' in stream.getvalue()


def test_log_traceback_follows_its_line(stream: io.StringIO) -> None:
    configure_logging("backend", stream=stream)
    try:
        os.environ["NEXUS_NO_SUCH_VARIABLE"]
    except KeyError:
        logging.getLogger("nexus").exception("failed")
    first, second, *_ = stream.getvalue().splitlines()
    assert pairs(first)["event"] == "failed"
    assert second.startswith("Traceback")


def test_configure_logging_drops_what_is_below_the_level(stream: io.StringIO) -> None:
    configure_logging("backend", "warning", stream)
    logging.getLogger("nexus").info("quiet")
    assert stream.getvalue() == ""


def test_configure_logging_refuses_an_unknown_level(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("backend", "loud", stream)
