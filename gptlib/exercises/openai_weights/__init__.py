"""The exercises of notebook 08, in its order."""

from gptlib.exercises.exercise import Exercise
from gptlib.exercises.openai_weights import attend_cached, perplexity, to_ours

EXERCISES: tuple[Exercise, ...] = (
    perplexity.EXERCISE,
    to_ours.EXERCISE,
    attend_cached.EXERCISE,
)
