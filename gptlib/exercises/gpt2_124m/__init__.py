"""The exercises of notebook 04, in its order."""

from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
