"""Exercise 5.1: a line of ids, cut into windows and their targets."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.data.windows import windows

Pair = tuple[Tensor, Tensor]


def cases() -> Iterator[Case]:
    """Strides below, at and above T; ends that just fit, lack one id, or leave some over."""
    generator = torch.Generator().manual_seed(0)
    for N, T, stride in ((10, 4, 4), (17, 5, 3), (21, 6, 3), (20, 3, 7), (8, 7, 2), (6, 1, 2)):
        ids = torch.randperm(1_000, generator=generator)[:N].tolist()  # no id twice
        yield Case(f"{N} ids, T {T}, stride {stride}", (ids, T, stride))


def x_and_y(function: Function, *arguments: Any) -> dict[str, Any]:
    """Both tensors by their names."""
    found = function(*arguments)
    x, y = found if isinstance(found, tuple | list) and len(found) == 2 else (found, found)
    return {"x": x, "y": y}


def cut(ids: Sequence[int], starts: Iterable[int], T: int, shift: int) -> Pair:
    """Windows from these starts on, and targets so many places later."""
    starts = list(starts)
    x = torch.tensor([list(ids[s : s + T]) for s in starts])  # (n, T)
    y = torch.tensor([list(ids[s + shift : s + shift + T]) for s in starts])  # (n, T)
    return x, y


def inputs_as_targets(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like y = x: the answer stands in the question, and a model only learns to copy."""
    return cut(ids, range(0, len(ids) - context_length, stride), context_length, 0)


def two_later(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like targets that stand two places later than the inputs instead of one."""
    return cut(ids, range(0, len(ids) - context_length - 1, stride), context_length, 2)


def sides_swapped(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like targets one place earlier than the inputs: x and y have changed places."""
    x, y = cut(ids, range(0, len(ids) - context_length, stride), context_length, 1)
    return y, x


def last_dropped(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like a range that ends too early: a last window that just fits is left out."""
    return cut(ids, range(0, len(ids) - context_length - 1, stride), context_length, 1)


def last_target_missing(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like one window too many: its inputs still fit, its last target does not."""
    return cut(ids, range(0, len(ids) - context_length + 1, stride), context_length, 1)


def starts_up_to_the_end(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like windows that start all the way to the last id, where T ids no longer fit."""
    return cut(ids, range(0, len(ids), stride), context_length, 1)


def first_id_as_last_target(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like torch.roll: it brings the first id round to the end, as if it came next."""
    line = torch.as_tensor(ids)  # (N,)
    x = line.unfold(0, context_length, stride)  # (n, T)
    return x, line.roll(-1).unfold(0, context_length, stride)


def stride_ignored(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like windows that begin T ids apart whatever the stride."""
    return cut(ids, range(0, len(ids) - context_length, context_length), context_length, 1)


def every_start(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like a window at every single place: the stride plays no part."""
    return cut(ids, range(len(ids) - context_length), context_length, 1)


def spans_apart(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like starts that lie stride + 1 ids apart: each time one id is never a target."""
    return cut(ids, range(0, len(ids) - context_length, stride + 1), context_length, 1)


def shuffled(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like the right windows in another order: shuffling is the batches' work."""
    x, y = cut(ids, range(0, len(ids) - context_length, stride), context_length, 1)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    return x[order], y[order]


def in_columns(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like windows in columns, (T, n) instead of (n, T)."""
    x, y = cut(ids, range(0, len(ids) - context_length, stride), context_length, 1)
    return x.T, y.T


def as_floats(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """This looks like the right numbers as floats, perhaps from torch.zeros: ids are integers."""
    x, y = cut(ids, range(0, len(ids) - context_length, stride), context_length, 1)
    return x.float(), y.float()


def by_a_loop(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """The same with a loop that goes on while the last target is inside."""
    x, y, start = [], [], 0
    while start + context_length < len(ids):
        x.append(ids[start : start + context_length])
        y.append(ids[start + 1 : start + 1 + context_length])
        start += stride
    return torch.tensor(x), torch.tensor(y)


def by_places(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """The same with a table of places."""
    starts = torch.arange(0, len(ids) - context_length, stride)
    places = starts[:, None] + torch.arange(context_length)  # (n, T)
    line = torch.tensor(ids)
    return line[places], line[places + 1]


EXERCISE = Exercise(
    name="windows",
    notebook="05_pretraining_the_verdict",
    rating=1,
    minutes=15,
    right=windows,
    cases=cases,
    mistakes=(
        inputs_as_targets,
        two_later,
        sides_swapped,
        last_dropped,
        last_target_missing,
        starts_up_to_the_end,
        first_id_as_last_target,
        stride_ignored,
        every_start,
        spans_apart,
        shuffled,
        in_columns,
        as_floats,
    ),
    also_right=(by_a_loop, by_places),
    observe=x_and_y,
)
