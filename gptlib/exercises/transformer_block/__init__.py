"""The exercises of notebook 03, in its order."""

from gptlib.exercises.exercise import Exercise
from gptlib.exercises.transformer_block import block_forward, gelu_tanh, layer_norm

EXERCISES: tuple[Exercise, ...] = (
    layer_norm.EXERCISE,
    gelu_tanh.EXERCISE,
    block_forward.EXERCISE,
)
