"""The exercises of notebook 05, in its order."""

from gptlib.exercises.exercise import Exercise
from gptlib.exercises.the_verdict import clinic_a

EXERCISES: tuple[Exercise, ...] = (clinic_a.EXERCISE,)
