"""The exercises of notebook 06: the side of a document, the order of an epoch, packing."""

import hashlib
import random
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count, islice, pairwise
from typing import Any

import numpy as np
import torch

from gptcourse.exercises.compare import described
from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.data import dataset, split

NOTEBOOK = "06_pretraining_wikipedia"


@contextmanager
def in_process(function: Any, number: int, salt: int) -> Iterator[None]:
    """Inside, random numbers and `hash` of a text are as another process would find them.

    The name `hash` is covered where the function was written, and only if nobody uses it there.
    """

    def salted(value: Any) -> int:
        shown = repr(value)  # Python salts texts alone, also those inside a tuple
        return zlib.crc32(shown.encode(), salt) if "'" in shown else hash(value)

    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    names = getattr(function, "__globals__", {})
    covered = names.setdefault("hash", salted) is salted
    try:
        yield
    finally:
        if covered:
            names.pop("hash", None)


# 6.1, the side of a document, from its own text alone
def split_of(document: bytes) -> str:
    """The rule of the notebook, to the letter."""
    text = unicodedata.normalize("NFKC", document.decode()).casefold()
    digest = hashlib.sha256(" ".join(text.split()).encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48
    return "validation" if place <= 0.1 else "train"


def documents_to_part() -> Iterator[Case]:
    """Many texts, copies of them that differ in form, equal titles, and nearly empty ones."""

    def texts(label: str, *parts: Any, form: str = "{}") -> Case:
        return Case(label, ([form.format(part).encode() for part in parts],))

    # As many texts as a multiple of 5 in each: every tenth then counts the same at each judging.
    near_the_limit = 731, 770, 167, 662, 1_114  # two below 0.1 and three above, all within 0.001
    numbers, form = (*range(55), *near_the_limit), "An article about number {}."
    yield texts("60 made-up articles", *numbers, form=form)
    form = "  AN ARTICLE\n\tabout  Number {}.\n"
    yield texts("copies of them in capitals, with other spaces", *range(60), form=form)
    words = "ﬁne café ", "fine cafe\u0301\xa0", "Straße\u2003", "mc² ", "ＮＩＬＥ ", "Tea™ ", "´ "
    numbered = (word + digit for word in words for digit in "0123456789")
    yield texts("letters that Unicode writes in several ways", *numbered)
    form = f"Water\n\n{'Water is a fact. ' * 300}{{:02}}"
    yield texts("articles that differ in the end alone", *range(20), form=form)
    edges = "", " \n", "a", "الماء", "水", "the end\u20283", "x" * 5_000, "b", "cc", "ß"
    yield texts("texts of 0, 1, 2 and 5,000 letters", *edges)


def asked_twice(function: Function, documents: list[bytes]) -> dict[str, Any]:
    """The side of each, then again in another order, as in another process."""
    sides = []
    for process, order in enumerate((documents, documents[::-1])):
        with in_process(function, number=process, salt=process):
            sides.append([function(document) for document in order])
    names = [f"text {i}, {described(each.decode())}" for i, each in enumerate(documents)]
    stable = {"another process, another order: the same sides": sides[1][::-1] == sides[0]}
    return dict(zip(names, sides[0], strict=True)) | stable


CALLS = count()
SPLIT_MISTAKES = """
Python's hash(): it is salted, every process gives other numbers.
    place <= 0.1 => hash(document) % 10 == 0
every tenth document in turn: with another order the sides change.
    place <= 0.1 => next(CALLS) % 10 == 0
a random number for each call: the next session would draw again.
    place <= 0.1 => np.random.random() <= 0.1
a rule that knows the length only: equally long texts stay together.
    place <= 0.1 => len(document) % 10 == 0
the right places with the sides exchanged: nine tenths are held out.
    place <= 0.1 => place > 0.1
a hash of the first line only: all articles of one title go together.
    document.decode() => document.decode().strip().split("\\n")[0]
a hash of the text's beginning: let the whole document decide.
    .encode()).digest() => .encode()[:16]).digest()
the hash's first byte alone: 256 places are coarse, 26 of them are 10.2 %.
    place <= 0.1 => digest[0] < 26
a hash of the bytes as they are: copies with other spaces would be parted.
    " ".join(text.split()).encode() => document
a text whose case and spaces are leveled, but not Unicode's spellings.
    unicodedata.normalize("NFKC", document.decode()) => document.decode()
casefold before NFKC, which makes a capital TM of ™: level it first.
    document.decode()).casefold() => document.decode().casefold())
spaces leveled before NFKC, which writes ´ with one: level them last.
    document.decode() => " ".join(document.decode().split())
    " ".join(text.split()) => text
a text whose capitals stay: copies that differ in case would be parted.
    .casefold() =>
lower() where casefold() is asked for: ß and SS stay different.
    casefold() => lower()
spaces taken from both ends only: those inside count as well.
    " ".join(text.split()) => text.strip()
the six bytes read from the other end: the highest stands first, "big".
    "big" => "little"
the hash modulo 10: a fair split, but not by the rule of this exercise.
    place <= 0.1 => int.from_bytes(digest, "big") % 10 == 0
"""


def by_hexadecimal(document: bytes) -> str:
    """The same from the hash's first twelve digits, compared as whole numbers."""
    words = unicodedata.normalize("NFKC", str(document, "utf-8")).casefold().split()
    number = int(hashlib.sha256(b" ".join(word.encode() for word in words)).hexdigest()[:12], 16)
    return ("train", "validation")[10 * number <= 2**48]


SPLIT_OF = Exercise(
    *("split_of", NOTEBOOK, split_of, documents_to_part),
    mistakes=mistakes(split_of, SPLIT_MISTAKES),
    also_right=(lambda document: split.split_of(document.decode()), by_hexadecimal),
    observe=asked_twice,
)


# 6.2, the places of one epoch in a new order, from any point on
def epoch_order(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """The end of an order that a generator of its own has drawn."""
    generator = np.random.default_rng((seed, epoch))
    order = generator.permutation(n)
    return iter(order[start:].tolist())


def epochs() -> Iterator[Case]:
    """From the beginning, from inside, from the last place, and beyond it."""
    for case in ((40, 42, 0, 0), (37, 7, 3, 12), (23, 1, 5, 22), (31, 0, 2, 31), (1, 3, 4, 0)):
        yield Case("n {}, seed {}, epoch {}, start {}".format(*case), case)


def properties(function: Function, n: int, seed: int, epoch: int, start: int) -> dict[str, Any]:
    """What has to hold for every order, whichever generator has drawn it."""

    def taken(seed: int, epoch: int, start: int) -> list[int]:
        return [int(place) for place in islice(function(n, seed, epoch, start), 3 * n)]

    made = function(n, seed, epoch, start)
    if made is None:
        return {"the result is an iterator": made}
    with in_process(function, number=0, salt=0):
        untouched = drawn()
    with in_process(function, number=0, salt=0):
        whole, again, rest = (taken(seed, epoch, first) for first in (0, 0, start))
        left_alone = drawn() == untouched
    with in_process(function, number=1, salt=0):
        elsewhere = taken(seed, epoch, 0)
        first: dict[tuple[int, ...], Pair] = {}  # the first pair that has an order
        pairs = PAIRS if start == 0 < n - 1 else []
        twins = [(first.setdefault(tuple(taken(*pair, 0)), pair), pair) for pair in pairs]
    with in_process(function, number=0, salt=1):
        salted = taken(seed, epoch, 0)
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
        "pairs (seed, epoch) that share an order": [pair for pair in twins if len({*pair}) > 1][:2],
        "the order is shuffled": sum((b - a) % n == 1 for a, b in pairwise(whole)) < n / 4,
    }


def drawn() -> list[float]:
    """The next random numbers of Python, numpy and torch."""
    return [random.random(), np.random.random(), torch.rand(()).item()]


Pair = tuple[int, int]
# Pairs of seed and epoch that some sum, product or string of digits takes for one another.
PAIRS: list[Pair] = [(1, 2), (2, 1), (1, 1), (11, 1), (1, 11)]
PAIRS += [pair for n in (1, 2, 3, 31, *(10**k for k in range(1, 7))) for pair in ((n, 0), (0, n))]

ORDER_MISTAKES = """
one order for all epochs: the epoch's number plays no part.
    (seed, epoch) => (seed,)
one order for all runs: the seed plays no part.
    (seed, epoch) => (epoch,)
the global random numbers: who draws before decides the order.
    generator.permutation => np.random.permutation
a global seed set anew: everybody else's random numbers begin again too.
    np.random.default_rng((seed, epoch)) => np.random; generator.seed([seed, epoch])
places drawn with replacement: some come twice, and a third never comes.
    permutation(n) => integers(0, n, n)
seed + epoch as one number: seed 1 in epoch 2 repeats seed 2 in epoch 1.
    (seed, epoch) => seed + epoch
1,000 · seed + epoch: it ends where an epoch's number reaches 1,000.
    (seed, epoch) => 1_000 * seed + epoch
an order of n − 1 places: the last window is never trained on.
    permutation(n) => permutation(n - 1)
an epoch from its beginning, whatever the start.
    order[start:] => order
a start that counts from 1: the place number start is left out.
    order[start:] => order[start + 1 if start else 0 :]
the right places, shuffled once more: a resumed run sees another order.
    order[start:] => (generator.permutation(order[start:]) if start else order)
a shuffle of the places start … n − 1: some of them were seen before.
    permutation(n) => permutation(n - start)
    order[start:] => (start + order)
an order that depends on torch's seed, another one in each worker.
    (seed, epoch) => (seed, epoch, torch.initial_seed())
hash() of a text: it is salted, so each process has an order of its own.
    (seed, epoch) => abs(hash(f"{seed} {epoch}"))
the right order, but as a list: an iterator also answers next(). See iter().
    iter(order[start:].tolist()) => order[start:].tolist()
an epoch that begins again when it is over: nobody notices its end.
    iter(order[start:].tolist()) => chain(order[start:].tolist(), *[order.tolist()] * 9)
the places in their own order, only begun elsewhere: nothing is shuffled.
    generator.permutation(n) => np.roll(np.arange(n), -int(generator.integers(n)))
"""


def by_swapping(n: int, seed: int, epoch: int, start: int) -> Iterator[int]:
    """The same by Python's own shuffle, with a text as its seed."""
    places = list(range(n))
    random.Random(f"{seed} {epoch}").shuffle(places)
    for number in range(start, n):
        yield places[number]


EPOCH_ORDER = Exercise(
    *("epoch_order", NOTEBOOK, epoch_order, epochs),
    mistakes=mistakes(epoch_order, ORDER_MISTAKES),
    also_right=(
        lambda n, seed, epoch, start: iter(dataset.epoch_order(n, seed, epoch)[start:].tolist()),
        by_swapping,
    ),
    observe=properties,
)


# 6.3, spot the bug: documents on one line, each closed by the end of text
Documents = list[list[int]]


def pack(documents: Documents, end_of_text: int) -> np.ndarray:
    """Every document ends; four bytes an id."""
    line = []
    for document in documents:
        line += [*document, end_of_text]
    return np.array(line, dtype="<u4")


def documents_to_pack() -> Iterator[Case]:
    """The toy documents, an empty one alone, none, some empty, and ids beyond 16 bits."""
    for label, documents, end_of_text in (
        ("[1, 2] [3] [4, 5, 6], end 0", [[1, 2], [3], [4, 5, 6]], 0),
        ("one document, and it is empty", [[]], 50_256),
        ("no document", [], 50_256),
        ("two of five documents are empty", [[], [3, 1], [5], [], [2, 2, 6]], 50_256),
        ("a vocabulary of 100,277", [[99_999, 5], [70_000, 70_001, 70_002]], 100_276),
    ):
        yield Case(label, (documents, end_of_text))


def ids_and_type(function: Function, documents: Documents, end_of_text: int) -> dict[str, Any]:
    """An array's type and its ids."""
    line = function(documents, end_of_text)
    if not isinstance(line, np.ndarray):
        return {"the ids": line, "their type": type(line).__name__}
    return {"the ids": line.tolist(), "their type": line.dtype.str}


def last_end_missing(documents: Documents, end_of_text: int) -> np.ndarray:
    """This looks like ends between the documents only: the last document is never closed."""
    line = []
    for number, document in enumerate(documents):
        if number > 0:
            line.append(end_of_text)
        line += document
    return np.array(line, dtype="<u4")


PACK_MISTAKES = """
documents one behind the other, with nothing that says where one ends.
    [*document, end_of_text] => document
the end of text before each document instead of behind it.
    [*document, end_of_text] => [end_of_text, *document]
an end of text on both sides of a document: two stand between neighbors.
    [*document, end_of_text] => [end_of_text, *document, end_of_text]
one end of text for all documents: it belongs inside the loop.
    [*document, end_of_text] => document
    np.array(line => np.array([*line, end_of_text]
closing a document where there is none: no documents make an empty line.
    in documents: => in documents or [[]]:
ids of two bytes: those from 65,536 on become others, without a warning.
    dtype="<u4") => dtype="<u4").astype("<u2")
a rule that leaves out empty documents: they end, too.
    in documents: => in filter(None, documents):
a right line whose ends were written into the caller's documents as well.
    line += [*document, end_of_text] => document.append(end_of_text); line += document
closing the last document only where the line holds something: an empty one ends, too.
    np.array(line => np.array(line if documents != [[]] else []
"""


def by_inserting(documents: Documents, end_of_text: int) -> np.ndarray:
    """The same: the ids of all documents, and the ends between them afterwards."""
    ends = np.cumsum([len(document) for document in documents], dtype=int)
    return np.insert(np.array([*chain(*documents)], dtype="<u4"), ends, end_of_text)


PACK = Exercise(
    *("pack", NOTEBOOK, pack, documents_to_pack),
    mistakes=(last_end_missing, *mistakes(pack, PACK_MISTAKES)),
    also_right=(
        lambda texts, end: np.fromiter(chain.from_iterable((*ids, end) for ids in texts), "<u4"),
        by_inserting,
    ),
    given=last_end_missing,
    observe=ids_and_type,
)

EXERCISES = (SPLIT_OF, EPOCH_ORDER, PACK)
