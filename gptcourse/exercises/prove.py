"""Prove the checks: each has to reject every known mistake and to accept every right answer."""

import time
from collections.abc import Callable, Iterable

from gptcourse.exercises.checks import judge
from gptcourse.exercises.exercise import Exercise

HEADER = (
    f"{'notebook':<34} {'exercise':<24} {'wrong, rejected':<15} {'right, accepted':<15} seconds"
)


def prove(exercises: Iterable[Exercise], say: Callable[[str], None] = print) -> bool:
    """Say for each exercise what its check did; return whether every check holds.

    One that knows no mistake has nothing to tell from what is right, so it does not hold.
    """
    say(HEADER)
    checks = wrong = right = 0
    faults: list[str] = []
    for exercise in exercises:
        started, name = time.perf_counter(), exercise.name
        mistakes, rights = exercise.mistakes, (exercise.right, *exercise.also_right)
        accepted = [each for each in mistakes if judge(exercise, each).passed]
        rejected = [i for i, each in enumerate(rights) if not judge(exercise, each).passed]
        say(
            f"{exercise.notebook:<34} {name:<24} "
            f"{len(mistakes) - len(accepted):>2} of {len(mistakes):<2}        "
            f"{len(rights) - len(rejected):>2} of {len(rights):<2}       "
            f"{time.perf_counter() - started:>5.2f}"
        )
        faults += [f"{name} accepts the mistake {each.__name__}" for each in accepted]
        faults += [f"{name} rejects right answer {i}, {rights[i].__name__}" for i in rejected]
        faults += [] if mistakes else [f"{name} knows no mistake"]
        checks, wrong, right = checks + 1, wrong + len(mistakes), right + len(rights)
    for fault in faults:
        say(f"FAILED: {fault}")
    if faults or not checks:
        return False
    say(f"{checks} checks reject {wrong} wrong and accept {right} right functions")
    return True
