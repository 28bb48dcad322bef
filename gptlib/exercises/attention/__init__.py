"""The exercises of notebook 02, in its order."""

from gptlib.exercises.attention import causal_weights
from gptlib.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (causal_weights.EXERCISE,)
