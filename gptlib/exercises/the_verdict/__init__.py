"""The exercises of notebook 05, in its order."""

from gptlib.exercises.exercise import Exercise
from gptlib.exercises.the_verdict import evaluate, learning_rate_at, windows

EXERCISES: tuple[Exercise, ...] = (
    windows.EXERCISE,
    learning_rate_at.EXERCISE,
    evaluate.EXERCISE,
)
