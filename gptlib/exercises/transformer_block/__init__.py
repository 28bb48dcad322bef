"""The exercises of notebook 03, in its order."""

from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = ()
