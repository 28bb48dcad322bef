"""Exercise 6.2: the places of one epoch in a new order, from any point on."""

import random
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.wikipedia.processes import as_in_process, drawn, salted_for
from gptlib.data.batches import epoch_order

Pair = tuple[int, int]
# Pairs of seed and epoch that some sum, product or string of digits takes for one another.
PAIRS = (
    *((1, 2), (2, 1), (3, 0), (0, 3), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (11, 1), (1, 11)),
    *((number, 0) for number in (10, 31, 100, 1_000, 10_000, 100_000, 1_000_000)),
    *((0, number) for number in (10, 31, 100, 1_000, 10_000, 100_000, 1_000_000)),
)


def cases() -> Iterator[Case]:
    """From the beginning, from inside, from the last place, and beyond it."""
    for n, seed, epoch, start in ((40, 42, 0, 0), (37, 7, 3, 12), (23, 1, 5, 22), (31, 0, 2, 31)):
        label = f"n {n}, seed {seed}, epoch {epoch}, start {start}"
        yield Case(label, (n, seed, epoch, start))
    yield Case("n 1, seed 3, epoch 4, start 0", (1, 3, 4, 0))


def properties(function: Function, n: int, seed: int, epoch: int, start: int) -> dict[str, Any]:
    """What has to hold for every order, whichever generator has drawn it."""

    def taken(seed: int, epoch: int, start: int) -> list[int]:
        return [int(place) for place in islice(function(n, seed, epoch, start), 3 * n)]

    made = function(n, seed, epoch, start)
    if made is None:
        return {"the result is an iterator": made}
    with as_in_process(0):
        untouched = drawn()
    with as_in_process(0), salted_for(function, 0):
        whole, again, rest = (taken(seed, epoch, first) for first in (0, 0, start))
        left_alone = drawn() == untouched
    with as_in_process(1), salted_for(function, 0):
        elsewhere = taken(seed, epoch, 0)
        twins = shared_orders(lambda pair: taken(*pair, 0)) if start == 0 < n - 1 else []
    with as_in_process(0), salted_for(function, 1):
        salted = taken(seed, epoch, 0)
    steps_of_one = sum((b - a) % n == 1 for a, b in pairwise(whole))
    return {
        "the result is an iterator": isinstance(made, Iterator),
        "places that never come": sorted(set(range(n)) - set(whole)),
        "places that come twice": sorted({p for p in whole if whole.count(p) > 1}),
        "how many places come": len(whole),
        "asked again, the order is the same": again == whole,
        "in another process, the order is the same": elsewhere == whole,
        "where hash() of a text differs, the order is the same": salted == whole,
        "how many come from start on": len(rest),
        "places from start on that came before it": sorted(set(rest) & set(whole[:start])),
        "from start on, the order goes on": rest == whole[start:],
        "other random numbers are left alone": left_alone,
        "pairs (seed, epoch) that share an order": twins,
        "the order is shuffled": steps_of_one < n / 4,
    }


def shared_orders(order_of: Callable[[Pair], list[int]]) -> list[tuple[Pair, Pair]]:
    """The first two pairs of pairs that have one order."""
    first: dict[tuple[int, ...], Pair] = {}
    twins = [(first.setdefault(tuple(order_of(pair)), pair), pair) for pair in PAIRS]
    return [(one, other) for one, other in twins if one != other][:2]


def generator_of(*key: int) -> np.random.Generator:
    """Random numbers that follow from a seed, or from several."""
    return np.random.default_rng(key)


def right(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """The end of the package's order."""
    return iter(epoch_order(n, seed, epoch)[start:].tolist())


def same_each_epoch(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like one order for all epochs: the epoch's number plays no part."""
    return iter(generator_of(seed).permutation(n)[start:].tolist())


def seed_ignored(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like one order for all runs: the seed plays no part."""
    return iter(generator_of(epoch).permutation(n)[start:].tolist())


def everybodys_numbers(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like the global random numbers: who draws before decides the order."""
    return iter(np.random.permutation(n)[start:].tolist())


def seeds_everybody(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like a global seed set anew: everybody else's random numbers begin again too."""
    np.random.seed([seed, epoch])
    return iter(np.random.permutation(n)[start:].tolist())


def with_replacement(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like places drawn with replacement: some come twice, and a third never comes."""
    return iter(generator_of(seed, epoch).integers(0, n, n)[start:].tolist())


def sum_as_seed(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like seed + epoch as one number: seed 1 in epoch 2 repeats seed 2 in epoch 1."""
    return iter(generator_of(seed + epoch).permutation(n)[start:].tolist())


def thousands_as_seed(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like 1,000 · seed + epoch: it ends where an epoch's number reaches 1,000."""
    return iter(generator_of(1_000 * seed + epoch).permutation(n)[start:].tolist())


def last_missing(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like an order of n − 1 places: the last window is never trained on."""
    return iter(generator_of(seed, epoch).permutation(n - 1)[start:].tolist())


def start_ignored(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like an epoch from its beginning, whatever the start."""
    return iter(generator_of(seed, epoch).permutation(n).tolist())


def start_one_late(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like a start that counts from 1: the place number start is left out."""
    return iter(generator_of(seed, epoch).permutation(n)[start + 1 if start else 0 :].tolist())


def rest_shuffled_again(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like the right places, shuffled once more: a resumed run sees another order."""
    generator = generator_of(seed, epoch)
    whole = generator.permutation(n)
    return iter((generator.permutation(whole[start:]) if start else whole).tolist())


def shuffled_from_start(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like a shuffle of the places start … n − 1: some of them were seen before."""
    return iter((start + generator_of(seed, epoch).permutation(n - start)).tolist())


def of_the_worker(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like an order that depends on torch's seed, another one in each worker."""
    key = seed, epoch, torch.initial_seed()
    return iter(generator_of(*key).permutation(n)[start:].tolist())


def hash_of_a_text(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like hash() of a text: it is salted, so each process has an order of its own."""
    return iter(generator_of(abs(hash(f"{seed} {epoch}"))).permutation(n)[start:].tolist())


def a_list(n: int, seed: int, epoch: int, start: int) -> Any:
    """The order is right, but it comes as a list: an iterator also answers next(). See iter()."""
    return list(right(n, seed, epoch, start))


def never_ends(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like an epoch that begins again when it is over: nobody notices its end."""
    yield from generator_of(seed, epoch).permutation(n)[start:].tolist()
    while True:
        yield from generator_of(seed, epoch).permutation(n).tolist()


def turned(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """This looks like the places in their own order, only begun elsewhere: nothing is shuffled."""
    first = int(generator_of(seed, epoch).integers(n))
    yield from ((first + place) % n for place in range(start, n))


def by_sorting(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """The same by a random number for each place, sorted."""
    luck = generator_of(seed, epoch).random(n).tolist()
    yield from sorted(range(n), key=luck.__getitem__)[start:]


def by_swapping(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """The same by Python's own shuffle, with a text as its seed."""
    places = list(range(n))
    random.Random(f"{seed} {epoch}").shuffle(places)
    for number in range(start, n):
        yield places[number]


def by_torch(n: int, seed: int, epoch: int, start: int) -> Iterator[Any]:
    """The same with torch; Cantor's pairing makes one number of two."""
    both = (seed + epoch) * (seed + epoch + 1) // 2 + epoch
    return iter(torch.randperm(n, generator=torch.Generator().manual_seed(both))[start:])


EXERCISE = Exercise(
    name="epoch_order",
    notebook="06_pretraining_wikipedia",
    rating=3,
    minutes=30,
    right=right,
    cases=cases,
    mistakes=(
        same_each_epoch,
        seed_ignored,
        everybodys_numbers,
        seeds_everybody,
        with_replacement,
        sum_as_seed,
        thousands_as_seed,
        last_missing,
        start_ignored,
        start_one_late,
        rest_shuffled_again,
        shuffled_from_start,
        of_the_worker,
        hash_of_a_text,
        a_list,
        never_ends,
        turned,
    ),
    also_right=(by_sorting, by_swapping, by_torch),
    observe=properties,
)
