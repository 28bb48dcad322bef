"""Exercises: checks of the learner's own code, each proved on right and wrong implementations."""

from gptlib.exercises.checks import check
from gptlib.exercises.swapping import swap

__all__ = ["check", "swap"]
