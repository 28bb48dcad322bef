"""The exercises of notebook 04, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.gpt2_124m import count_parameters, forward_blocks, sample_next

EXERCISES: tuple[Exercise, ...] = (
    count_parameters.EXERCISE,
    forward_blocks.EXERCISE,
    sample_next.EXERCISE,
)
