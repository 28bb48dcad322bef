"""Try a learner's function and say what was found: passed, not done yet, or what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from gptcourse.exercises.comparison import difference
from gptcourse.exercises.exercise import Exercise, Failed, Function, NotDone, outcomes

GIVEN = "It still behaves like the function that you were given: the bug is there."


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    exercise: str
    passed: bool
    done: bool  # False where the stub was left as it is
    message: str  # what the learner reads

    def __str__(self) -> str:
        """The message behind its sign and the exercise's name."""
        sign = "✓" if self.passed else "✗" if self.done else "·"
        return f"{sign} {self.exercise}: {self.message}"


@contextmanager
def one_thread() -> Iterator[None]:
    """Threads that share a tensor of a few numbers mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def judge(exercise: Exercise, function: Any) -> Verdict:
    """Compare a function with the right one on every case.

    Never raises, whatever the function does, save for Ctrl-C.
    """
    if not callable(function):
        return Verdict(
            exercise.name,
            passed=False,
            done=True,
            message=f"came {type(function).__name__}: give the function itself, without calling "
            f"it: check.{exercise.name}(my_{exercise.name})",
        )
    try:
        came = list(outcomes(exercise, function))
    except NotDone:
        return Verdict(exercise.name, passed=False, done=False, message="not done yet")
    expected = list(outcomes(exercise, exercise.right))
    problems = [
        f"{told(left, right, exercise)} (case: {label})"
        for (label, left), (_, right) in zip(expected, came, strict=True)
        if parts(left, right)
    ]
    if not problems:
        message = f"right in all {len(came)} cases"
        return Verdict(exercise.name, passed=True, done=True, message=message)
    count = f"wrong in {len(problems)} of {len(came)} cases. The first:"
    lines = [count, f"  {problems[0]}", *(f"  {line}" for line in likely(exercise, came))]
    return Verdict(exercise.name, passed=False, done=True, message="\n".join(lines))


def likely(exercise: Exercise, came: list[tuple[str, Any]]) -> list[str]:
    """What is said of the known mistake that behaves in the same way on every case, if any does.

    Of the bug to spot it is said that it is still there, not where.
    """
    by_error_only = all(isinstance(seen, Failed) for _, seen in came)  # then its words count too
    for mistake in exercise.mistakes:
        wrong = outcomes(exercise, mistake)
        if not any(
            parts(a, b) or (by_error_only and a.message != b.message)
            for (_, a), (_, b) in zip(wrong, came, strict=True)
        ):
            return [GIVEN if mistake is exercise.given else sentence(mistake)]
    return []


def sentence(mistake: Function) -> str:
    """What is said to somebody who made this mistake: its docstring, on one line."""
    return " ".join((mistake.__doc__ or "").split())


def parts(expected: Any, came: Any) -> bool:
    """Whether two outcomes differ."""
    if isinstance(expected, Failed) or isinstance(came, Failed):
        kinds = [each.kind if isinstance(each, Failed) else None for each in (expected, came)]
        return kinds[0] != kinds[1]
    return difference(expected, came) is not None


def told(expected: Any, came: Any, exercise: Exercise) -> str:
    """One line on how two outcomes differ."""
    if isinstance(came, Failed):
        wanted = (
            f"expected the error {expected.kind}, came " if isinstance(expected, Failed) else ""
        )
        line = f" in line {came.line} of your cell" if came.line else ""
        return f"{wanted}{came.kind}{line}{': ' if came.message else ''}{came.message}"
    if isinstance(expected, Failed):
        return f"expected the error {expected.kind}, came no error"
    for name, value in expected.items():
        found = difference(value, came.get(name), exercise.reveal)
        if found:
            return f"{name}: {found}"
    return f"{difference(expected, came)}"
