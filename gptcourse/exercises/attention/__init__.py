"""The exercises of notebook 02, in its order."""

from gptcourse.exercises.attention import attention, causal_weights, merge_heads, split_heads
from gptcourse.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    causal_weights.EXERCISE,
    split_heads.EXERCISE,
    merge_heads.EXERCISE,
    attention.EXERCISE,
)
