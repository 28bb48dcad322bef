"""Exercise 9.3: tokens per second and utilisation of a step of several micro-batches."""

from collections.abc import Iterator

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.training.flops import throughput

Shape = tuple[int, int, int]  # A micro-batches of B windows of T tokens
Figures = tuple[float, float]


def right(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """The package's, with the tokens of the whole step."""
    A, B, T = shape
    return throughput(A * B * T, seconds, flops_per_token, peak)


def cases() -> Iterator[Case]:
    """The log of section 4, and steps in which A, B and T differ pairwise."""
    yield Case("the log of section 4", ((1, 8, 256), 0.39605, 614.1e6, 5.2e12))
    for shape, seconds, cost, peak in (
        ((4, 2, 64), 0.8, 3e6, 2e11),
        ((8, 5, 128), 2.5, 855e6, 3.12e14),
        ((3, 1, 50), 0.02, 4e5, 1e10),
    ):
        A, B, T = shape
        yield Case(f"{A} micro-batches of {B} windows of {T}", (shape, seconds, cost, peak))


def accumulation_forgotten(
    shape: Shape, seconds: float, flops_per_token: float, peak: float
) -> Figures:
    """This looks like the tokens of one micro-batch over the seconds of the whole step."""
    _, B, T = shape
    rate = B * T / seconds
    return rate, rate * flops_per_token / peak


def one_window(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like the tokens of a single window over the seconds of the whole step."""
    _, _, T = shape
    rate = T / seconds
    return rate, rate * flops_per_token / peak


def windows_counted(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like windows per second: each holds T tokens."""
    A, B, _ = shape
    rate = A * B / seconds
    return rate, rate * flops_per_token / peak


def swapped(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like the two results swapped: the speed comes first."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return share, rate


def milliseconds(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like tokens per millisecond: the time is given in seconds already."""
    A, B, T = shape
    rate = A * B * T / (1_000 * seconds)
    return rate, rate * flops_per_token / peak


def per_cent(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like utilisation in per cent: asked is a share, 0.61 and not 61."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return rate, 100 * share


def no_time(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like the step's FLOPs over the peak: FLOPs are not yet FLOP/s, the seconds are
    missing."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return rate, share * seconds


def backward_again(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like three times the FLOPs: those per token hold the way back already."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return rate, 3 * share


def upside_down(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like peak over speed: a share has the peak below."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return rate, 1 / share


def seconds_per_token(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """This looks like seconds per token instead of tokens per second."""
    rate, share = right(shape, seconds, flops_per_token, peak)
    return 1 / rate, share


def added_up(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """A loop over the micro-batches."""
    tokens = 0
    for _ in range(shape[0]):
        tokens += shape[1] * shape[2]
    return tokens / seconds, flops_per_token * tokens / seconds / peak


def by_the_ceiling(
    shape: Shape, seconds: float, flops_per_token: float, peak: float
) -> list[float]:
    """Utilisation as the share of the speed that the peak would allow."""
    A, B, T = shape
    rate = A * B * T / seconds
    return [rate, rate / (peak / flops_per_token)]


EXERCISE = Exercise(
    name="throughput",
    notebook="09_gradient_norms_and_throughput",
    rating=2,
    minutes=10,
    right=right,
    cases=cases,
    mistakes=(
        accumulation_forgotten,
        one_window,
        windows_counted,
        swapped,
        milliseconds,
        per_cent,
        no_time,
        backward_again,
        upside_down,
        seconds_per_token,
    ),
    also_right=(added_up, by_the_ceiling),
    given=accumulation_forgotten,
)
