"""Exercise 1.1: in a list of ids, glue every pair of neighbours that a merge names."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.tokenizer.training import Pair
from gptlib.tokenizer.training import merge as merge_in_place


def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """The package's merge on a copy; the counts that it corrects are of no use here."""
    glued = list(ids)
    merge_in_place(glued, pair, new_id, 0, defaultdict(int))
    return glued


def cases() -> Iterator[Case]:
    """Both ends, overlaps, neighbours that only look like the pair, and nothing at all."""
    for label, ids, pair, new_id in (
        ("in the middle", [116, 104, 101, 109], (104, 101), 256),
        ("at both ends", [1, 2, 7, 1, 2], (1, 2), 300),
        ("three alike", [1, 1, 1], (1, 1), 300),
        ("four alike, then five", [1, 1, 1, 1, 7, 1, 1, 1, 1, 1], (1, 1), 300),
        ("ids above 255", [500, 300, 301, 500, 300, 301, 4], (300, 301), 50_000),
        ("the pair the other way round", [2, 1, 1, 2, 2, 1], (1, 2), 300),
        ("11, 2 is not 1, 12", [11, 2, 1, 12, 1, 2, 111, 2], (1, 2), 300),
        ("new_id is one of the pair", [5, 7, 7, 5, 7], (5, 7), 5),
        ("the pair is not there", [3, 1, 4, 1, 5], (1, 2), 300),
        ("one id", [1], (1, 2), 300),
        ("no ids", [], (1, 2), 300),
    ):
        yield Case(f"{label}: {ids}, the pair {pair} and {new_id}", (ids, pair, new_id))


def observe(function: Function, ids: list[int], pair: Pair, new_id: int) -> dict[str, Any]:
    """The result, and that it is a list."""
    answer = function(ids, pair, new_id)
    return {"the result": answer, "its type": type(answer).__name__}


def in_place(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like changing the caller's own list: build a new one and leave `ids` alone."""
    merge_in_place(ids, pair, new_id, 0, defaultdict(int))
    return ids


def overlapping(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like using one id for two merges: of three alike only the first two are a pair."""
    merged = []
    for i, token in enumerate(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new_id)
        elif i == 0 or tuple(ids[i - 1 : i + 1]) != pair:
            merged.append(token)
    return merged


def one_step_on(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like stepping on by one after a merge: the pair's second id is copied as well."""
    merged = []
    for i, token in enumerate(ids):
        merged.append(new_id if tuple(ids[i : i + 2]) == pair else token)
    return merged


def last_one_lost(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like a loop that ends before the last id, which is lost unless it was glued."""
    merged, i = [], 0
    while i < len(ids) - 1:
        found = (ids[i], ids[i + 1]) == pair
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def past_the_end(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like asking the last id for its right neighbour: it has none."""
    merged, i = [], 0
    while i < len(ids):
        found = (ids[i], ids[i + 1]) == pair
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def past_the_end_of_a_half(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like `ids[i + 1]` at the last id, which has no right neighbour."""
    merged, i = [], 0
    while i < len(ids):
        found = ids[i] == pair[0] and ids[i + 1] == pair[1]
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def never_equal(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Nothing is glued. This looks like comparing a list with a tuple: a slice of `ids` is a list,
    `pair` is a tuple, and no list equals a tuple."""
    return list(ids)


def as_a_tuple(ids: list[int], pair: Pair, new_id: int) -> tuple[int, ...]:
    """This looks like returning a tuple, as section 3 does with bytes: a list is asked for."""
    return tuple(merge(ids, pair, new_id))


def first_only(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like stopping after the first place where the pair stands."""
    for i in range(len(ids) - 1):
        if (ids[i], ids[i + 1]) == pair:
            return [*ids[:i], new_id, *ids[i + 2 :]]
    return list(ids)


def either_order(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like gluing the pair the other way round too: `h|e` is not `e|h`."""
    merged, i = [], 0
    while i < len(ids):
        found = tuple(ids[i : i + 2]) in (pair, pair[::-1])
        merged.append(new_id if found else ids[i])
        i += 2 if found else 1
    return merged


def own_output(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like reading the new list instead of `ids`: a new token is glued once more."""
    merged: list[int] = []
    for token in ids:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new_id
        else:
            merged.append(token)
    return merged


def in_a_string(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like replacing digits in a string: there the end of 11, 2 reads like 1, 2."""
    line = ",".join(map(str, ids)).replace(f"{pair[0]},{pair[1]}", str(new_id))
    return [int(number) for number in line.split(",") if number]


def as_bytes(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like handling ids as bytes: a merged token's id is greater than 255."""
    merged, parts = [], bytes(ids).split(bytes(pair))
    for part in parts[:-1]:
        merged += [*part, new_id]
    return [*merged, *parts[-1]]


def from_the_right(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """This looks like gluing from right to left: where pairs overlap, the left one comes first."""
    merged, i = [], len(ids) - 1
    while i >= 0:
        found = i > 0 and (ids[i - 1], ids[i]) == pair
        merged.append(new_id if found else ids[i])
        i -= 2 if found else 1
    return merged[::-1]


def by_slices(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Slices compare without asking whether there is a neighbour."""
    merged, i = [], 0
    while i < len(ids):
        found = ids[i : i + 2] == list(pair)
        merged.append(new_id if found else ids[i])
        i += 1 + found
    return merged


def by_recursion(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """The first one or two ids, then the rest."""
    if not ids:
        return []
    if tuple(ids[:2]) == pair:
        return [new_id, *by_recursion(ids[2:], pair, new_id)]
    return [ids[0], *by_recursion(ids[1:], pair, new_id)]


def by_iterator(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """One id is held back until its right neighbour is known."""
    merged, held = [], None
    for token in ids:
        if held is not None and (held, token) == pair:
            merged.append(new_id)
            held = None
            continue
        if held is not None:
            merged.append(held)
        held = token
    return merged if held is None else [*merged, held]


EXERCISE = Exercise(
    name="merge",
    notebook="01_tokenization",
    rating=1,
    minutes=10,
    right=merge,
    cases=cases,
    mistakes=(
        *(in_place, overlapping, one_step_on, last_one_lost, past_the_end),
        *(past_the_end_of_a_half, never_equal, as_a_tuple, first_only, either_order),
        *(own_output, in_a_string, as_bytes, from_the_right),
    ),
    also_right=(by_slices, by_recursion, by_iterator),
    observe=observe,
)
