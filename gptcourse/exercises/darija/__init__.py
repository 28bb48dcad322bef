"""The exercises of notebook 07, in its order."""

from gptcourse.exercises.darija import arabic_share, bits_per_byte, pad_vocabulary
from gptcourse.exercises.exercise import Exercise

EXERCISES: tuple[Exercise, ...] = (
    arabic_share.EXERCISE,
    bits_per_byte.EXERCISE,
    pad_vocabulary.EXERCISE,
)
