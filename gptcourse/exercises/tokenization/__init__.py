"""The exercises of notebook 01, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.tokenization import best_pair, decode_stream, encode_piece, merge

EXERCISES: tuple[Exercise, ...] = (
    merge.EXERCISE,
    encode_piece.EXERCISE,
    best_pair.EXERCISE,
    decode_stream.EXERCISE,
)
