"""The exercises of notebook 06, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.wikipedia import epoch_order, pack, split_of

EXERCISES: tuple[Exercise, ...] = (
    split_of.EXERCISE,
    epoch_order.EXERCISE,
    pack.EXERCISE,
)
