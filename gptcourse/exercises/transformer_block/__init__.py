"""The exercises of notebook 03, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.transformer_block import block_forward, gelu_tanh, layer_norm

EXERCISES: tuple[Exercise, ...] = (
    layer_norm.EXERCISE,
    gelu_tanh.EXERCISE,
    block_forward.EXERCISE,
)
