"""``check.causal_weights(my_causal_weights)``: try a learner's function, and say what was found."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from gptcourse.exercises.compare import difference
from gptcourse.exercises.exercise import Exercise, Failed, Function, NotDone, outcomes, stoppable

# Of the course, in its order: every file here that is named after a notebook has some.
MODULES = sorted(file.stem for file in Path(__file__).parent.glob("nb??_*.py"))
EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for module in MODULES
    for exercise in import_module(f"gptcourse.exercises.{module}").EXERCISES
}
ENOUGH = 0.6  # share of the cases on which a mistake that is named has to agree
GIVEN = "It still behaves like the function that you were given: the bug is there."


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    exercise: str
    passed: bool
    message: str  # what the learner reads
    done: bool = True  # False where the stub was left as it is

    def __str__(self) -> str:
        """The message behind its sign and the exercise's name."""
        sign = "✓" if self.passed else "✗" if self.done else "·"
        return f"{sign} {self.exercise}: {self.message}"


def judge(exercise: Exercise, function: Any) -> Verdict:
    """Compare a function with the right one on every case.

    Never raises, whatever the function does, save for Ctrl-C.
    """
    name = exercise.name
    if not callable(function):
        way_out = f"give the function itself, without calling it: check.{name}(my_{name})"
        return Verdict(name, False, f"came {type(function).__name__}: {way_out}")
    try:
        came = list(outcomes(exercise, function))
    except NotDone:
        return Verdict(name, False, "not done yet", done=False)
    expected = [seen for _, seen in outcomes(exercise, exercise.right)]
    problems = [
        f"{problem} (case: {label})"
        for wanted, (label, seen) in zip(expected, came, strict=True)
        if (problem := outcome_difference(wanted, seen, exercise.reveal))
    ]
    if not problems:
        return Verdict(name, True, f"right in all {len(came)} cases")
    count = f"wrong in {len(problems)} of {len(came)} cases. The first:"
    mistake = known_mistake(exercise, expected, [seen for _, seen in came])
    return Verdict(name, False, "\n  ".join([count, problems[0], *mistake]))


def outcome_difference(expected: Any, came: Any, reveal: bool = True) -> str | None:
    """One line on how two outcomes differ, or None where they do not."""
    error = f"expected the error {expected.kind}, came " if isinstance(expected, Failed) else ""
    if isinstance(came, Failed):
        if error and came.kind == expected.kind:
            return None
        return f"{error}{came.kind}{came.place}{came.message and ': '}{came.message}"
    if error:
        return f"{error}no error"
    for name, value in expected.items():
        if found := difference(value, came.get(name), reveal):
            return f"{name}: {found}"
    return difference(dict.fromkeys(expected), dict.fromkeys(came))  # a name that is missing


def known_mistake(exercise: Exercise, expected: list[Any], came: list[Any]) -> list[str]:
    """What is said of the known mistake that a function looks like, if it looks like one.

    That is the first that behaves in the same way on every case. Slips come in pairs, though: else
    it is the one that agrees on the most cases, the first wrong one and all right ones among them.
    Of the bug to spot it is said that it is still there, not where.
    """
    may_differ = [
        outcome_difference(*pair) is not None for pair in zip(expected, came, strict=True)
    ]
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
    return words[0] == words[1] and outcome_difference(known, came) is None


def sentence(mistake: Function) -> str:
    """What is said to somebody who made this mistake: its docstring, on one line."""
    return " ".join((mistake.__doc__ or "").split())


class Checks:
    """One attribute for each exercise: a function that tries the learner's and prints a verdict."""

    def __getattr__(self, name: str) -> Any:
        """Return the check of the exercise `name`."""
        if name not in EXERCISES:
            near = get_close_matches(name, EXERCISES, n=1)
            hint = f": did you mean check.{near[0]}?" if near else ""
            raise AttributeError(f"there is no check named {name!r}{hint}")

        def try_it(yours: Any) -> None:
            with stoppable(name, yours):
                print(judge(EXERCISES[name], yours))

        return try_it

    def __dir__(self) -> list[str]:
        """Every exercise, for completion with the Tab key."""
        return list(EXERCISES)


check = Checks()
