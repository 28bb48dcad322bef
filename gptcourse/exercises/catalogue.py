"""All exercises of the course, in its order."""

from gptcourse.exercises import (
    darija,
    gpt2_124m,
    nb01_tokenization,
    nb02_attention,
    norms_and_throughput,
    openai_weights,
    the_verdict,
    transformer_block,
    wikipedia,
)
from gptcourse.exercises.exercise import Exercise

ROOMS = (
    nb01_tokenization,
    nb02_attention,
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
