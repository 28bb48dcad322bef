"""All exercises of the course, in its order."""

from gptcourse.exercises import (
    nb01_tokenization,
    nb02_attention,
    nb03_transformer_block,
    nb04_gpt2_124m,
    nb05_the_verdict,
    nb06_wikipedia,
    nb07_darija,
    nb08_openai_weights,
    nb09_norms_and_throughput,
)
from gptcourse.exercises.exercise import Exercise

ROOMS = (
    nb01_tokenization,
    nb02_attention,
    nb03_transformer_block,
    nb04_gpt2_124m,
    nb05_the_verdict,
    nb06_wikipedia,
    nb07_darija,
    nb08_openai_weights,
    nb09_norms_and_throughput,
)
EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for room in ROOMS for exercise in room.EXERCISES
}
