"""A forked process that writes a folder, and is killed meanwhile."""

import itertools
import os
import random
import shutil
import signal
import threading
import time

from tqdm import tqdm


def forked(write, parent, first=lambda: None):
    """Start ``write(parent)`` in a process of its own, after ``first()``; returns its number."""
    child = os.fork()
    if child == 0:
        try:
            # tqdm's own lock is shared with this process's parent, which would wait for ever for
            # one that was killed with it
            tqdm.set_lock(threading.RLock())
            first()
            write(parent)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def killed_by_chance(write, check, seconds, folder, count):
    """Kill `count` writers that would take so many seconds, and check what each has left."""
    luck, killed = random.Random(4), 0
    for number in itertools.count():
        parent = folder / str(number)
        parent.mkdir()
        child = forked(write, parent)
        time.sleep(luck.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        killed += os.waitpid(child, 0)[1] == signal.SIGKILL
        check(parent)
        shutil.rmtree(parent)
        if killed == count:
            return


def killed_at(module, name, number=1, after=False):
    """Be killed at, or right after, the call of this number: a `first` for :func:`forked`."""

    def first():
        original, calls = getattr(module, name), itertools.count(1)

        def counted(*arguments, **options):
            if next(calls) < number:
                return original(*arguments, **options)
            if after:
                original(*arguments, **options)
            return os.kill(os.getpid(), signal.SIGKILL)

        setattr(module, name, counted)

    return first
