"""The exercises of notebook 09, in its order."""

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.norms_and_throughput import (
    clinic_b,
    clip_by_global_norm,
    flops_per_token,
    throughput,
)

EXERCISES: tuple[Exercise, ...] = (
    clip_by_global_norm.EXERCISE,
    flops_per_token.EXERCISE,
    throughput.EXERCISE,
    clinic_b.EXERCISE,
)
