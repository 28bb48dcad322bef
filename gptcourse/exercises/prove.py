"""Prove the checks: each has to reject every known mistake and to accept every right answer."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gptcourse.exercises.checks import judge
from gptcourse.exercises.exercise import Exercise, Function


@dataclass(frozen=True)
class Proof:
    """What one exercise's check did with its known implementations."""

    exercise: Exercise
    accepted_mistakes: tuple[str, ...]  # by name; should be none
    rejected_right: tuple[str, ...]  # likewise
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the check tells right from wrong; with nothing to tell apart, it does not."""
        known = self.exercise.mistakes and not self.accepted_mistakes
        return bool(known and not self.rejected_right)

    @property
    def row(self) -> str:
        """One line of the table."""
        wrong, right = len(self.exercise.mistakes), len(right_ones(self.exercise))
        rejected, accepted = wrong - len(self.accepted_mistakes), right - len(self.rejected_right)
        return (
            f"{self.exercise.notebook:<34} {self.exercise.name:<24} "
            f"{rejected:>2} of {wrong:<2}        {accepted:>2} of {right:<2}       "
            f"{self.seconds:>5.2f}"
        )


HEADER = (
    f"{'notebook':<34} {'exercise':<24} {'wrong, rejected':<15} {'right, accepted':<15} seconds"
)


def right_ones(exercise: Exercise) -> tuple[Function, ...]:
    """The implementations that the check has to accept."""
    return (exercise.right, *exercise.also_right)


def proof(exercise: Exercise) -> Proof:
    """Judge every implementation that is known of an exercise."""
    started = time.perf_counter()
    accepted = [m.__name__ for m in exercise.mistakes if judge(exercise, m).passed]
    rejected = [r.__name__ for r in right_ones(exercise) if not judge(exercise, r).passed]
    return Proof(exercise, tuple(accepted), tuple(rejected), time.perf_counter() - started)


def prove(exercises: Iterable[Exercise], say: Callable[[str], None] = print) -> bool:
    """Say for each exercise what its check did; return whether every check holds."""
    say(HEADER)
    proofs = []
    for exercise in exercises:
        proofs.append(proof(exercise))
        say(proofs[-1].row)
    wrong = sum(len(each.exercise.mistakes) for each in proofs)
    right = sum(len(right_ones(each.exercise)) for each in proofs)
    for each in proofs:
        for name in each.accepted_mistakes:
            say(f"FAILED: {each.exercise.name} accepts the mistake {name}")
        for name in each.rejected_right:
            say(f"FAILED: {each.exercise.name} rejects {name}, which is right")
        if not each.exercise.mistakes:
            say(f"FAILED: {each.exercise.name} knows no mistake")
    holds = bool(proofs) and all(each.holds for each in proofs)
    if holds:
        say(f"{len(proofs)} checks reject {wrong} wrong and accept {right} right functions")
    return holds
