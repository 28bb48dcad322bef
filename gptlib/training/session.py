"""When a session ends before its run: a signal has come, or its minutes are over.

Both are read between two steps, where a checkpoint can be written.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Session:
    """One sitting at a run."""

    ends: float = float("inf")  # by time.monotonic(), in seconds
    signal: str | None = None  # "SIGINT" (Ctrl-C) or "SIGTERM", once it has come

    def over(self, seconds_needed: float) -> bool:
        """Whether to stop now: `seconds_needed` for one more step and a checkpoint are not left."""
        return self.signal is not None or time.monotonic() + seconds_needed > self.ends


@contextmanager
def session(max_minutes: float | None = None) -> Iterator[Session]:
    """Remember signals instead of obeying them at once; a second Ctrl-C aborts.

    Only the main thread may listen; in any other, signals keep their usual meaning.
    """
    sitting = Session()
    if max_minutes is not None:
        sitting.ends = time.monotonic() + 60 * max_minutes

    def remember(number: int, frame: FrameType | None) -> None:
        if sitting.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        sitting.signal = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield sitting
        return
    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield sitting
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
