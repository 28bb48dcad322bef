"""The exercises of notebook 05, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.the_verdict import clinic_a, evaluate, learning_rate_at, windows

EXERCISES: tuple[Exercise, ...] = (
    windows.EXERCISE,
    learning_rate_at.EXERCISE,
    evaluate.EXERCISE,
    clinic_a.EXERCISE,
)
