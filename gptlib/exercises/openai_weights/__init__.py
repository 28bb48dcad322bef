"""The exercises of notebook 08, in its order."""

from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
