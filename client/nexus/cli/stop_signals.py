"""SIGINT and SIGTERM as an event to wait for."""

import asyncio
import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_event() -> asyncio.Event:
    """An event that is set when this process is told to stop, from now on without dying of it."""
    told = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told
