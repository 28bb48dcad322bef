"""All exercises of the course, in its order."""

from gptcourse.exercises import (
    attention,
    darija,
    gpt2_124m,
    nb01_tokenization,
    norms_and_throughput,
    openai_weights,
    the_verdict,
    transformer_block,
    wikipedia,
)
from gptcourse.exercises.exercise import Exercise

ROOMS = (
    nb01_tokenization,
    attention,
    transformer_block,
    gpt2_124m,
    the_verdict,
    wikipedia,
    darija,
    openai_weights,
    norms_and_throughput,
)
EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for room in ROOMS for exercise in room.EXERCISES
}
