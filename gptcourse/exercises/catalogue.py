"""All exercises of the course, in its order."""

from gptcourse.exercises import (
    attention,
    darija,
    nb03_transformer_block,
    nb04_gpt2_124m,
    norms_and_throughput,
    openai_weights,
    the_verdict,
    tokenization,
    wikipedia,
)
from gptcourse.exercises.exercise import Exercise

ROOMS = (
    tokenization,
    attention,
    nb03_transformer_block,
    nb04_gpt2_124m,
    the_verdict,
    wikipedia,
    darija,
    openai_weights,
    norms_and_throughput,
)
EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for room in ROOMS for exercise in room.EXERCISES
}
