"""Exercises: checks of the learner's own code, each proved on right and wrong implementations."""

from gptlib.exercises.checks import check

__all__ = ["check"]
