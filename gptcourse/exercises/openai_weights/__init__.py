"""The exercises of notebook 08, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.openai_weights import attend_cached, perplexity, to_ours

EXERCISES: tuple[Exercise, ...] = (
    perplexity.EXERCISE,
    to_ours.EXERCISE,
    attend_cached.EXERCISE,
)
