"""What an exercise is: the right function, cases to try it on, and the mistakes people make.

A check calls the learner's function and the right one on the same cases and compares what is
seen. The known mistakes are functions too, so a wrong answer that behaves like one of them can be
told what it looks like, and a test can prove that the check rejects every one.
"""

import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Timer
from traceback import walk_tb
from typing import Any, NamedTuple

import numpy as np
import torch

from gptlib import environment

Function = Callable[..., Any]
STUB = ("", "not done yet")  # torch raises NotImplementedError too, with words of its own
LONGEST = 10_000  # elements taken from an iterator: one that never ends is cut here
PATIENCE = 10.0  # seconds that a check may run before something is said of it
SEED = 602_214_076  # that nobody else uses: who ignores a given generator must not draw the same


class Case(NamedTuple):
    """One call: how it is named in a message, and the arguments."""

    label: str  # such as "B 2, T 5, H 3, D 4"
    arguments: tuple[Any, ...]


def result(function: Function, *arguments: Any) -> dict[str, Any]:
    """What is seen of a plain function: its result; an iterator's elements as a list."""
    value = function(*arguments)
    return {"the result": list(islice(value, LONGEST)) if hasattr(value, "__next__") else value}


@dataclass(frozen=True)
class Exercise:
    """One exercise; ``check.<name>(my_<name>)`` in its notebook tries the learner's function.

    Args:
        name: of the check, and of the learner's function without its ``my_``.
        notebook: the file's name without its ending; stars and minutes stand in its heading there.
        right: the function to compare with, the package's own where there is one.
        cases: yields the same cases each time it is called, made anew, so that a function that
            changes its arguments harms nobody.
        mistakes: wrong functions that people really write; each docstring is the sentence that
            a learner reads who made this mistake.
        also_right: right ones in another style, which the check has to accept.
        given: for an exercise that asks to spot the bug, the one of the mistakes that is shown.
        observe: calls a function with a case's arguments and returns what is compared, by name.
            The arguments are compared afterwards in any case.
        reveal: whether a failed check says what was expected.
    """

    name: str
    notebook: str
    right: Function
    cases: Callable[[], Iterable[Case]]
    mistakes: tuple[Function, ...]
    also_right: tuple[Function, ...] = ()
    given: Function | None = None
    observe: Callable[..., dict[str, Any]] = result
    reveal: bool = True


class NotDone(Exception):
    """The learner's function is still the stub."""


class Failed(NamedTuple):
    """A call that raised."""

    kind: str  # the exception's class
    message: str
    place: str  # " in line 3 of your cell", or nothing where the learner's own code has no part


def outcomes(exercise: Exercise, function: Function) -> Iterator[tuple[str, Any]]:
    """Yield each case's label and what was seen: a dictionary of names and values, or Failed.

    Raises NotDone where the function says so.
    """
    names = inspect.signature(exercise.right).parameters
    cases = iter(exercise.cases())
    while True:
        with undisturbed():  # to make the case, and for the call
            case = next(cases, None)
            if case is None:
                return
            try:
                seen: Any = dict(exercise.observe(function, *case.arguments))
            except (Exception, SystemExit) as problem:
                if isinstance(problem, NotImplementedError) and str(problem) in STUB:
                    raise NotDone from problem
                seen = failure(problem, function)
            else:
                after = zip(names, case.arguments, strict=False)
                seen |= {f"{name}, after the call": argument for name, argument in after}
        yield case.label, seen


@contextmanager
def undisturbed() -> Iterator[None]:
    """Every call draws the same numbers, and none of those that the notebook draws afterwards.

    It computes in one thread: those that share a tensor of a few numbers mostly wait.
    """
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.default_generator.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


class Stopped(KeyboardInterrupt):
    """The learner stopped what ran; Jupyter shows this one line in place of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextmanager
def stoppable(name: str, function: Any) -> Iterator[None]:
    """Run a learner's code: say when it runs on and on, and where it was when it was stopped."""
    words = f"· {name}: still running: a loop that never ends? stop with ■ (Interrupt)"
    clock = Timer(PATIENCE, print, [words], {"flush": True})
    clock.daemon = True
    if not environment.quiet():  # a stored output must not depend on the machine's speed
        clock.start()
    try:
        yield
    except KeyboardInterrupt as problem:
        raise Stopped(f"· {name}: stopped{failure(problem, function).place}") from None
    finally:
        clock.cancel()


def failure(problem: BaseException, function: Function) -> Failed:
    """What is told of an exception: never a line of ours, nor of a library."""
    module = getattr(function, "__module__", None)  # of the notebook, also through a decorator
    own = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(problem.__traceback__)
        if frame.f_globals.get("__name__") == module
    ]
    lines = [line for file, line in own if file == own[0][0]]  # each cell is a file by itself
    message = str(problem).strip().split("\n", 1)[0][:200]
    return Failed(
        type(problem).__name__, message, f" in line {lines[-1]} of your cell" if lines else ""
    )
