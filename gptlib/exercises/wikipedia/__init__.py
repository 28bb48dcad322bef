"""The exercises of notebook 06, in its order."""

from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
