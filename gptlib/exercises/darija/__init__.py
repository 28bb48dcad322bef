"""The exercises of notebook 07, in its order."""

from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
