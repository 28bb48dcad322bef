"""Exercise 5.2: the learning rate of a step, from its number alone."""

import math
from collections.abc import Iterator
from typing import Any

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.training.schedule import learning_rate_at


def cases() -> Iterator[Case]:
    """Both ends of the rise and of the fall, steps beyond the end, and runs without a rise."""
    for step in (0, 1, 9, 10, 11, 1_500, 2_005, 3_999, 4_000, 4_900):
        yield Case(f"step {step:,} of 4,000, warm-up 10", (step, 6e-4, 6e-5, 10, 4_000))
    for step in (0, 30, 100):
        yield Case(f"step {step} of 100, no warm-up", (step, 3e-3, 1e-3, 0, 100))
    yield Case("step 3 of 7, warm-up 4", (3, 2e-2, 1e-3, 4, 7))
    yield Case("step 5 of 5, warm-up 5", (5, 1e-2, 4e-3, 5, 5))


def in_millionths(function: Function, *arguments: Any) -> dict[str, Any]:
    """The rate, large enough for a comparison that lets 0.00001 pass."""
    rate = function(*arguments)
    return {"the rate in millionths": rate * 1e6 if hasattr(rate, "__float__") else rate}


def half_a_cosine(progress: float) -> float:
    """From 1 down to 0."""
    return (1 + math.cos(math.pi * progress)) / 2


def zero_at_first(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a rise that begins with a rate of 0: step 0 then learns nothing."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    return learning_rate_at(step, peak, floor, warmup_steps, total)


def peak_one_late(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a rise in warmup_steps + 1 stairs, which has not reached the peak in time."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return learning_rate_at(step, peak, floor, warmup_steps, total)


def rise_from_floor(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a rise that begins at the floor: the floor belongs to the end of the run."""
    if step < warmup_steps:
        return floor + (peak - floor) * (step + 1) / warmup_steps
    return learning_rate_at(step, peak, floor, warmup_steps, total)


def cosine_from_zero(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a cosine that is counted from step 0: it must begin after the warm-up."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return floor + (peak - floor) * half_a_cosine(min(1.0, step / total))


def cosine_too_long(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a cosine stretched over total_steps: fewer steps are left after the rise."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    return floor + (peak - floor) * half_a_cosine((step - warmup_steps) / total)


def floor_of_zero(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a fall to 0 instead of the floor."""
    return learning_rate_at(step, peak, 0.0, warmup_steps, total)


def floor_added(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like the floor laid on top of the whole peak: the fall begins above the peak."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    return floor + peak * half_a_cosine((step - warmup_steps) / (total - warmup_steps))


def rises_again(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a cosine that goes on beyond the last step, where it rises again."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / (total - warmup_steps)
    return floor + (peak - floor) * half_a_cosine(progress)


def in_degrees(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a cosine of degrees: math.cos takes radians, half a turn is π."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    progress = (step - warmup_steps) / (total - warmup_steps)
    return floor + (peak - floor) * (1 + math.cos(180 * progress)) / 2


def whole_cosine(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a cosine from 1 to −1 that was not brought to 1 … 0: the rate sinks below 0.

    The formula needs (1 + cos) / 2.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    progress = (step - warmup_steps) / (total - warmup_steps)
    return floor + (peak - floor) * math.cos(math.pi * progress)


def not_halved(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like 1 + cos, which goes from 2 to 0: the fall begins far above the peak."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    progress = (step - warmup_steps) / (total - warmup_steps)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress))


def rise_too_long(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a rise of one step more than warmup_steps: the last stair is above the peak.

    Steps are counted from 0.
    """
    if step <= warmup_steps:
        return peak * (step + 1) / warmup_steps
    return learning_rate_at(step, peak, floor, warmup_steps, total)


def straight_fall(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a straight line down. It meets the cosine at both ends and half way only."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    if step >= total:
        return floor
    return peak - (peak - floor) * (step - warmup_steps) / (total - warmup_steps)


SEEN = {"steps": 0}


def counts_its_calls(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a function that remembers its last call: a resumed run gets other rates."""
    SEEN["steps"] = 0 if step == 0 else SEEN["steps"] + 1
    return learning_rate_at(SEEN["steps"], peak, floor, warmup_steps, total)


def divides_by_zero(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a division by warmup_steps at every step: without a warm-up it fails."""
    rise = min(1.0, (step + 1) / warmup_steps)
    if rise < 1:
        return peak * rise
    return learning_rate_at(step, peak, floor, warmup_steps, total)


def in_one_line(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """The same without early returns; cos² of half the angle is the same half cosine."""
    place = min(max(step - warmup_steps, 0), max(total - warmup_steps, 0))
    progress = place / (total - warmup_steps) if total > warmup_steps else 1.0
    fall = floor + (peak - floor) * math.cos(math.pi * progress / 2) ** 2
    return peak / warmup_steps * (step + 1) if step < warmup_steps else fall


def from_above(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """The same from the end to the beginning, and the fall measured from the middle."""
    if step >= total:
        return floor
    if step >= warmup_steps:
        angle = math.pi * (step - warmup_steps) / (total - warmup_steps)
        return (peak + floor) / 2 + (peak - floor) / 2 * math.cos(angle)
    return (step + 1) * peak / warmup_steps


EXERCISE = Exercise(
    name="learning_rate_at",
    notebook="05_pretraining_the_verdict",
    rating=2,
    minutes=15,
    right=learning_rate_at,
    cases=cases,
    mistakes=(
        zero_at_first,
        peak_one_late,
        rise_too_long,
        rise_from_floor,
        cosine_from_zero,
        cosine_too_long,
        floor_of_zero,
        floor_added,
        rises_again,
        in_degrees,
        whole_cosine,
        not_halved,
        straight_fall,
        counts_its_calls,
        divides_by_zero,
    ),
    also_right=(in_one_line, from_above),
    observe=in_millionths,
)
