"""Exercise 6.1: the side of a document, from its own text alone."""

import hashlib
import unicodedata
import zlib
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from gptcourse.exercises.comparison import described
from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.wikipedia.processes import as_in_process
from gptlib.data.split import split_of


class Salted(bytes):
    """A document whose ``hash()`` is another one in each process."""

    process = 0

    def __hash__(self) -> int:
        """As Python's own: salted, so of no use to a split."""
        return zlib.crc32(bytes(self), self.process)


Salted.__name__ = "bytes"  # in an error that names what the learner was given


def cases() -> Iterator[Case]:
    """Many texts, copies of them that differ in form, equal titles, and nearly empty ones."""
    # As many texts as a multiple of 5 in each: every_tenth then counts the same at each judging.
    near_the_limit = 731, 770, 167, 662, 1_114  # two below 0.1 and three above, all within 0.001
    made_up = [f"An article about number {number}." for number in (*range(55), *near_the_limit)]
    yield Case("60 made-up articles", ([text.encode() for text in made_up],))
    copies = [f"  AN ARTICLE\n\tabout  Number {number}.\n" for number in range(60)]
    yield Case("copies of them in capitals, with other spaces", ([c.encode() for c in copies],))
    written = [
        f"{word}{space}{number}"
        for number in range(10)
        for word, space in (("ﬁne café", " "), ("fine cafe\u0301", "\u00a0"), ("Straße", "\u2003"))
    ]
    written += [
        f"{word} {number}" for number in range(10) for word in ("mc²", "ＮＩＬＥ", "Tea™", "´")
    ]
    yield Case("letters that Unicode writes in several ways", ([w.encode() for w in written],))
    titled = [f"Water\n\n{'Water is a fact. ' * 300}{number:02}" for number in range(20)]
    yield Case("articles that differ in the end alone", ([text.encode() for text in titled],))
    edges = ["", " \n", "a", "الماء", "水", "the end\u20283", "x" * 5_000, "b", "cc", "ß"]
    yield Case("texts of 0, 1, 2 and 5,000 letters", ([text.encode() for text in edges],))


def asked_twice(function: Function, documents: list[bytes]) -> dict[str, Any]:
    """The side of each, then again in another order, as in another process."""
    sides = []
    for Salted.process, order in enumerate((documents, documents[::-1])):
        with as_in_process(Salted.process):
            sides.append([function(Salted(document)) for document in order])
    names = [f"text {i}, {described(each.decode())}" for i, each in enumerate(documents)]
    return {
        **dict(zip(names, sides[0], strict=True)),
        "another process, another order: the same sides": sides[1][::-1] == sides[0],
    }


def right(document: bytes) -> str:
    """The package's, for the bytes of a file."""
    return split_of(document.decode())


def levelled(document: bytes) -> bytes:
    """The text without what copies differ in."""
    text = unicodedata.normalize("NFKC", document.decode()).casefold()
    return " ".join(text.split()).encode()


def side(place: float) -> str:
    """The side of a place in [0, 1)."""
    return "validation" if place <= 0.1 else "train"


def place_of(content: bytes) -> float:
    """A hash as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(content).digest()[:6], "big") / 2**48


def by_salted_hash(document: bytes) -> str:
    """This looks like Python's hash(): it is salted, every process gives other numbers."""
    return "validation" if hash(document) % 10 == 0 else "train"


CALLS = count()


def every_tenth(document: bytes) -> str:
    """This looks like every tenth document in turn: with another order the sides change."""
    return "validation" if next(CALLS) % 10 == 0 else "train"


def by_chance(document: bytes) -> str:
    """This looks like a random number for each call: the next session would draw again."""
    return side(np.random.random())


def by_length(document: bytes) -> str:
    """This looks like a rule that knows the length only: equally long texts stay together."""
    return "validation" if len(document) % 10 == 0 else "train"


def shares_swapped(document: bytes) -> str:
    """This looks like the right places with the sides exchanged: nine tenths are held out."""
    return "train" if place_of(levelled(document)) <= 0.1 else "validation"


def title_only(document: bytes) -> str:
    """This looks like a hash of the first line only: all articles of one title go together."""
    title = document.decode().strip().split("\n")[0]
    return side(place_of(levelled(title.encode())))


def opening_only(document: bytes) -> str:
    """This looks like a hash of the text's beginning: let the whole document decide."""
    return side(place_of(levelled(document)[:16]))


def first_byte(document: bytes) -> str:
    """This looks like the hash's first byte alone: 256 places are coarse, 26 of them are 10.2 %."""
    return "validation" if hashlib.sha256(levelled(document)).digest()[0] < 26 else "train"


def text_as_it_comes(document: bytes) -> str:
    """This looks like a hash of the bytes as they are: copies with other spaces would be parted."""
    return side(place_of(document))


def without_unicode(document: bytes) -> str:
    """This looks like a text whose case and spaces are levelled, but not Unicode's spellings."""
    return side(place_of(" ".join(document.decode().casefold().split()).encode()))


def folded_too_early(document: bytes) -> str:
    """This looks like casefold before NFKC, which makes a capital TM of ™: level it first."""
    text = unicodedata.normalize("NFKC", document.decode().casefold())
    return side(place_of(" ".join(text.split()).encode()))


def spaces_too_early(document: bytes) -> str:
    """This looks like spaces levelled before NFKC, which writes ´ with one: level them last."""
    text = " ".join(document.decode().split())
    return side(place_of(unicodedata.normalize("NFKC", text).casefold().encode()))


def case_kept(document: bytes) -> str:
    """This looks like a text whose capitals stay: copies that differ in case would be parted."""
    text = unicodedata.normalize("NFKC", document.decode())
    return side(place_of(" ".join(text.split()).encode()))


def lowered(document: bytes) -> str:
    """This looks like lower() where casefold() is asked for: ß and SS stay different."""
    text = unicodedata.normalize("NFKC", document.decode()).lower()
    return side(place_of(" ".join(text.split()).encode()))


def stripped_only(document: bytes) -> str:
    """This looks like spaces taken from both ends only: those inside count as well."""
    text = unicodedata.normalize("NFKC", document.decode()).casefold().strip()
    return side(place_of(text.encode()))


def lowest_byte_first(document: bytes) -> str:
    """This looks like the six bytes read from the other end: the highest stands first, "big"."""
    digest = hashlib.sha256(levelled(document)).digest()
    return side(int.from_bytes(digest[:6], "little") / 2**48)


def by_last_digit(document: bytes) -> str:
    """This looks like the hash modulo 10: a fair split, but not by the rule of this exercise."""
    number = int.from_bytes(hashlib.sha256(levelled(document)).digest(), "big")
    return "validation" if number % 10 == 0 else "train"


def by_hexadecimal(document: bytes) -> str:
    """The same from the hash's first twelve digits, compared as whole numbers."""
    words = unicodedata.normalize("NFKC", str(document, "utf-8")).casefold().split()
    number = int(hashlib.sha256(b" ".join(word.encode() for word in words)).hexdigest()[:12], 16)
    return ("train", "validation")[10 * number <= 2**48]


def byte_by_byte(document: bytes) -> str:
    """The same with the fraction summed up."""
    place, unit = 0.0, 1.0
    for byte in hashlib.sha256(levelled(document)).digest()[:6]:
        unit /= 256
        place += byte * unit
    return side(place)


EXERCISE = Exercise(
    name="split_of",
    notebook="06_pretraining_wikipedia",
    rating=2,
    minutes=20,
    right=right,
    cases=cases,
    mistakes=(
        by_salted_hash,
        every_tenth,
        by_chance,
        by_length,
        shares_swapped,
        title_only,
        opening_only,
        first_byte,
        text_as_it_comes,
        without_unicode,
        folded_too_early,
        spaces_too_early,
        case_kept,
        lowered,
        stripped_only,
        lowest_byte_first,
        by_last_digit,
    ),
    also_right=(by_hexadecimal, byte_by_byte),
    observe=asked_twice,
)
