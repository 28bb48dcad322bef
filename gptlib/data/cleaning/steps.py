"""One repair, or one reason to drop a row, each: a step takes a text and returns it, or None.

A repair applied twice does what it did once, so clean text may be cleaned again.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import regex

from gptlib.data.cleaning.kinds import Kind, arabic_share, kind_of
from gptlib.errors import ConfigError


class Step(Protocol):
    """What a cleaner is made of."""

    @property
    def name(self) -> str:
        """What the report calls it: for a step that drops, the reason."""

    def __call__(self, text: str) -> str | None:
        """Return the text, repaired or as it was; None drops it."""


@dataclass(frozen=True)
class Repair:
    """A step that changes text and drops nothing but what it leaves empty."""

    name: str
    repair: Callable[[str], str]

    def __call__(self, text: str) -> str | None:
        """Return the repaired text, None where nothing is left."""
        return self.repair(text) or None


@dataclass(frozen=True)
class DropIf:
    """A step that drops a row for one reason and changes nothing."""

    name: str
    reason: Callable[[str], bool]

    def __call__(self, text: str) -> str | None:
        """Return the text as it came, None where the reason holds."""
        return None if self.reason(text) else text


SURROGATE = re.compile("[\ud800-\udfff]")
# Direction and zero-width marks, the byte-order mark, soft hyphens (Cf), control characters (Cc)
# but for white space, private and unassigned code points. The joiner between two emoji stays.
# Where all is printable by Python's account, there is none of them.
MARK = regex.compile(
    r"(?<!\p{Extended_Pictographic}[\ufe0f\U0001f3fb-\U0001f3ff]?)\u200d"
    r"|\u200d(?!\p{Extended_Pictographic})|[\p{Cf}\p{Cc}\p{Co}\p{Cn}--\s\x1c-\x1f\u200d]",
    regex.V1,
)
PRESENTATION_FORM = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]")
# What sites write for a character, once or on top of each other (&amp;quot;), and for a new line.
ENTITY = re.compile("&(?:amp;)*(#0?39|quot|lt|gt|nbsp|amp);")
SHOWN = {"#39": "'", "#039": "'", "quot": '"', "lt": "<", "gt": ">", "nbsp": " ", "amp": "&"}
LINE_BREAK = re.compile("<br ?/?>")
SPACES = re.compile(r"\s{2,}|[^\S \n]")
LINE_END = re.compile("\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
REPEATED = re.compile(r"(\D{1,4}?)\1{3,}", re.DOTALL)


def remove_marks(text: str) -> str:
    """Take out what a reader cannot see and a tokenizer can."""
    return text if text.isprintable() else MARK.sub("", text)


def normalise(text: str) -> str:
    """Bring Unicode to NFC, and Arabic presentation forms (ﺳ ﻼ ﷲ) to the letters that they show.

    NFKC is asked for these forms only: everywhere else it would change what was written (x² → x2).
    """
    if not text.isascii():
        text = PRESENTATION_FORM.sub(_base_letters, text)
    return unicodedata.normalize("NFC", text)


def _base_letters(form: re.Match[str]) -> str:
    # An isolated vowel mark is a space that carries the mark: the space was never written.
    return unicodedata.normalize("NFKC", form.group()).lstrip()


def resolve_html(text: str) -> str:
    """Write what a page shows for a comment's HTML: j&#39;aime → j'aime, <br> → a new line."""
    return LINE_BREAK.sub("\n", ENTITY.sub(lambda entity: SHOWN[entity[1]], text))


def fold_spaces(text: str) -> str:
    """Leave one space of a run of spaces, one blank line of several, and nothing at the ends."""
    return SPACES.sub(_one_space, text).strip()


def _one_space(run: re.Match[str]) -> str:
    line_ends = len(LINE_END.findall(run.group()))
    return "\n" * min(line_ends, 2) or " "


def remove_tatweel(text: str) -> str:
    """Take out the stroke that stretches a word (جميـــل): it is ornament, not spelling."""
    return text.replace("\u0640", "")


def limit_repeats(text: str) -> str:
    """Let a run of one to four characters repeat three times at most: هههههه → ههه, !!!!!! → !!!.

    Units of up to four cover hahahaha and emoji, which take two code points. Three still says
    "stretched", and no word of Arabic, French or English needs more; digits stay, for 1,000,000
    is a number. Source: NLTK's tweet tokenizer (`reduce_lengthening`) cuts to three.
    """
    shorter = REPEATED.sub(r"\1\1\1", text)
    while shorter != text:  # what is left can repeat in its turn
        text, shorter = shorter, REPEATED.sub(r"\1\1\1", shorter)
    return text


def broken() -> Step:
    """Drop rows with half a character (a lone surrogate): UTF-8 cannot hold them."""
    return DropIf("broken characters", lambda text: SURROGATE.search(text) is not None)


def length(shortest: int, longest: int | None) -> list[Step]:
    """Drop rows outside these numbers of characters.

    Raises:
        ConfigError: no length would be allowed.
    """
    limit = sys.maxsize if longest is None else longest
    if not 0 < shortest <= limit:
        raise ConfigError(
            f"lengths from {shortest} to {longest} allow no row: give 0 < shortest ≤ longest"
        )
    steps: list[Step] = [
        DropIf(f"under {shortest:,} characters", lambda text: len(text) < shortest)
    ]
    if longest is not None:
        steps.append(DropIf(f"over {longest:,} characters", lambda text: len(text) > limit))
    return steps


def without(kind: Kind, name: str) -> Step:
    """Drop rows of one kind."""
    return DropIf(name, lambda text: kind_of(text) == kind)


def least_arabic_share(least: float) -> Step:
    """Drop rows in two scripts or in Arabic with a smaller share of Arabic letters.

    Arabizi has none and is Darija all the same, so it is not asked.

    Raises:
        ConfigError: `least` is no share.
    """
    if not 0 <= least <= 1:
        raise ConfigError(f"an Arabic share of {least} cannot be asked for: give 0 to 1")
    return DropIf(
        f"Arabic share under {least:g}",
        lambda text: arabic_share(text) < least and kind_of(text) != "arabizi",
    )


REPAIRS: Sequence[Step] = (
    Repair("invisible marks", remove_marks),
    Repair("Unicode form", normalise),
    Repair("white space", fold_spaces),
    Repair("repeated characters", limit_repeats),
)
