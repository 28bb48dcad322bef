"""``check.causal_weights(my_causal_weights)``: try a learner's function, and say what was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from gptcourse.exercises.compare import difference
from gptcourse.exercises.exercise import Exercise, Failed, Function, NotDone, outcomes, stoppable

# Of the course, in its order: every file here that is named after a notebook has some.
ROOMS = sorted(file.stem for file in Path(__file__).parent.glob("nb??_*.py"))
EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for room in ROOMS
    for exercise in import_module(f"gptcourse.exercises.{room}").EXERCISES
}
ENOUGH = 0.6  # share of the cases on which a mistake that is named has to agree
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
        f"{explained(left, right, exercise)} (case: {label})"
        for (label, left), (_, right) in zip(expected, came, strict=True)
        if differ(left, right)
    ]
    if not problems:
        message = f"right in all {len(came)} cases"
        return Verdict(exercise.name, passed=True, done=True, message=message)
    count = f"wrong in {len(problems)} of {len(came)} cases. The first:"
    mistake = known_mistake(exercise, [seen for _, seen in expected], [seen for _, seen in came])
    lines = [count, f"  {problems[0]}", *(f"  {line}" for line in mistake)]
    return Verdict(exercise.name, passed=False, done=True, message="\n".join(lines))


def known_mistake(exercise: Exercise, expected: list[Any], came: list[Any]) -> list[str]:
    """What is said of the known mistake that a function looks like, if it looks like one.

    That is the first that behaves in the same way on every case. Slips come in pairs, though: else
    it is the one that agrees on the most cases, the first wrong one and all right ones among them.
    Of the bug to spot it is said that it is still there, not where.
    """
    may_differ = [differ(*pair) for pair in zip(expected, came, strict=True)]
    may_differ[may_differ.index(True)] = False
    agreed: dict[Function, int] = {}
    for mistake in exercise.mistakes:
        count = 0
        for (_, seen), own, free in zip(outcomes(exercise, mistake), came, may_differ, strict=True):
            same = alike(seen, own)
            if not (same or free):
                break
            count += same
        else:
            agreed[mistake] = count
            if count == len(came):
                break
    most = max(agreed.values(), default=0)
    best = [mistake for mistake, count in agreed.items() if count == most]
    if most < ENOUGH * len(came) or len(best) > 1:
        return []
    return [GIVEN if best[0] is exercise.given else sentence(best[0])]


def alike(known: Any, came: Any) -> bool:
    """Whether a function did what a known mistake does; an error has to say the same words."""
    words = [each.message if isinstance(each, Failed) else "" for each in (known, came)]
    return words[0] == words[1] and not differ(known, came)


def sentence(mistake: Function) -> str:
    """What is said to somebody who made this mistake: its docstring, on one line."""
    return " ".join((mistake.__doc__ or "").split())


def differ(expected: Any, came: Any) -> bool:
    """Whether two outcomes differ."""
    if isinstance(expected, Failed) or isinstance(came, Failed):
        kinds = [each.kind if isinstance(each, Failed) else None for each in (expected, came)]
        return kinds[0] != kinds[1]
    return difference(expected, came) is not None


def explained(expected: Any, came: Any, exercise: Exercise) -> str:
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


class Checks:
    """One attribute for each exercise: a function that tries the learner's and prints a verdict."""

    def __getattr__(self, name: str) -> Any:
        """Return the check of the exercise `name`."""
        exercise = EXERCISES.get(name)
        if exercise is None:
            near = get_close_matches(name, EXERCISES, n=1)
            hint = f": did you mean check.{near[0]}?" if near else ""
            raise AttributeError(f"there is no check named {name!r}{hint}")

        def try_it(yours: Any) -> None:
            with stoppable(name, yours):
                print(judge(exercise, yours))

        return try_it

    def __dir__(self) -> list[str]:
        """Every exercise, for completion with the Tab key."""
        return list(EXERCISES)


check = Checks()
