"""The exercises of notebook 06, in its order."""

from gptlib.exercises.exercise import Exercise
from gptlib.exercises.wikipedia import epoch_order, pack, split_of

EXERCISES: tuple[Exercise, ...] = (
    split_of.EXERCISE,
    epoch_order.EXERCISE,
    pack.EXERCISE,
)
