"""Noisy rows in, clean rows out, with a count of what each step changed and dropped.

A step is a function with a name: it takes a text and returns it, or None, which drops the row.
A normalizer applied twice does what it did once, so clean text may be cleaned again.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import regex

from gptlib.data.language_id import Language, arabic_share, detect_language
from gptlib.data.split import exact_duplicates, similar_to_earlier
from gptlib.errors import ConfigError

SHORTEST = 5  # characters: one short word has no neighbors to learn from
LONGEST = 100_000  # characters: 40 pages; a longer "row" is a file that was not cut into rows
EXAMPLES = 3  # of the rows that a step drops
EXAMPLE_LENGTH = 60  # characters: a table row still fits a screen


@dataclass(frozen=True)
class Normalizer:
    """A step that changes text, and drops nothing but what it leaves empty."""

    name: str  # in the report
    normalize: Callable[[str], str]

    def __call__(self, text: str) -> str | None:
        return self.normalize(text) or None


@dataclass(frozen=True)
class Filter:
    """A step that drops a row for one reason, and changes nothing."""

    name: str  # in the report: the reason
    drops: Callable[[str], bool]

    def __call__(self, text: str) -> str | None:
        return None if self.drops(text) else text


Step = Normalizer | Filter

# Direction and zero-width marks, the byte-order mark, soft hyphens (Cf), control characters (Cc)
# but for white space, private and unassigned code points. The joiner between two emoji stays.
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
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which UTF-8 cannot hold


def remove_marks(text: str) -> str:
    """Take out what a reader cannot see and a tokenizer can; printable text has none of it."""
    return text if text.isprintable() else MARK.sub("", text)


def normalize_unicode(text: str) -> str:
    """Bring Unicode to NFC, and Arabic presentation forms (ﺳ ﻼ ﷲ) to the letters that they show.

    NFKC is asked for these forms only, as it would change x² to x2. It gives an isolated vowel mark
    a space to stand on, which was never written.
    """
    if not text.isascii():
        text = PRESENTATION_FORM.sub(
            lambda form: unicodedata.normalize("NFKC", form[0]).lstrip(), text
        )
    return unicodedata.normalize("NFC", text)


def resolve_html(text: str) -> str:
    """Write what a page shows for a comment's HTML: j&#39;aime → j'aime, <br> → a new line."""
    return LINE_BREAK.sub("\n", ENTITY.sub(lambda entity: SHOWN[entity[1]], text))


def fold_spaces(text: str) -> str:
    """Leave one space of a run of spaces, one blank line of several, and nothing at the ends."""
    return SPACES.sub(lambda run: "\n" * min(2, len(LINE_END.findall(run[0]))) or " ", text).strip()


def limit_repeats(text: str) -> str:
    """Let a run of one to four characters repeat three times at most: هههههه → ههه, !!!!!! → !!!.

    Units of up to four cover hahahaha and emoji of two code points; digits stay. Source: NLTK's
    tweet tokenizer (`reduce_lengthening`) cuts to three, which no word needs more of.
    """
    shorter = REPEATED.sub(r"\1\1\1", text)
    while shorter != text:  # what is left can repeat in its turn
        text, shorter = shorter, REPEATED.sub(r"\1\1\1", shorter)
    return text


NORMALIZERS = (
    Normalizer("invisible marks", remove_marks),
    Normalizer("Unicode form", normalize_unicode),
    Normalizer("white space", fold_spaces),
    Normalizer("repeated characters", limit_repeats),
)


NO_SURROGATES = Filter("broken characters", lambda text: SURROGATE.search(text) is not None)


def drop_language(language: Language, name: str) -> Filter:
    """Drop rows in one language; `name` is the reason in the report."""
    return Filter(name, lambda text: detect_language(text) == language)


@dataclass
class StepReport:
    """One step's counts, and the first rows that it dropped."""

    name: str
    changed: int = 0
    dropped: int = 0
    examples: list[str] = field(default_factory=list)  # cut, with invisible characters spelled out

    def drop(self, text: str) -> None:
        """Count a dropped row."""
        self.dropped += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(printable(text))


@dataclass
class CleaningReport:
    """All counts of a cleaner since it was made."""

    steps: list[StepReport]
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0  # UTF-8
    bytes_out: int = 0

    def table(self) -> str:
        """A line for each step that did something, between what came and what is left."""
        width = max(map(len, ["documents out", *(step.name for step in self.steps)]))
        lines = [
            f"{'documents in':<{width}}  {self.documents_in:>10,}  {self.bytes_in:,} bytes",
            f"{'step':<{width}}  {'changed':>10}  {'dropped':>10}  {'of all':>6}",
        ]
        for step in self.steps:
            if step.changed or step.dropped:
                share = step.dropped / self.documents_in
                counts = f"{step.changed:>10,}  {step.dropped:>10,}  {share:>6.1%}"
                lines.append(f"{step.name:<{width}}  {counts}")
        left = f"{'documents out':<{width}}  {self.documents_out:>10,}  {self.bytes_out:,} bytes"
        return "\n".join([*lines, left])


def printable(text: str) -> str:
    """The start of a row, safe for any terminal and file: what is invisible is spelled out."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:EXAMPLE_LENGTH]
    )
    return shown + "…" * (len(text) > EXAMPLE_LENGTH)


class Cleaner:
    """Takes texts through steps in order, one at a time; what one drops the next never sees.

    A cleaner serves one corpus: its counts and known duplicates go on from call to call.
    """

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = tuple(steps)
        self.report = CleaningReport([StepReport(step.name) for step in self.steps])

    def clean(self, documents: Iterable[str]) -> Iterator[str]:
        """Yield the clean form of each text that is kept, in order."""
        for document in documents:
            self.report.documents_in += 1
            self.report.bytes_in += n_bytes(document)
            kept = self._through_steps(document)
            if kept is not None:
                self.report.documents_out += 1
                self.report.bytes_out += n_bytes(kept)
                yield kept

    def _through_steps(self, text: str) -> str | None:
        for step, count in zip(self.steps, self.report.steps, strict=True):
            after = step(text)
            if after is None:
                count.drop(text)
                return None
            count.changed += after != text
            text = after
        return text


def n_bytes(text: str) -> int:
    """Bytes in UTF-8; half a character counts as the three that it would take."""
    return len(text.encode("utf-8", "surrogatepass"))


def text_cleaner(
    shortest: int = SHORTEST,
    longest: int | None = None,
    near_duplicates: float | None = None,
    normalizers: Iterable[Normalizer] = NORMALIZERS,
    languages: Iterable[Filter] = (),
) -> Cleaner:
    """The steps that suit text in any language.

    Args:
        shortest, longest: characters that a row has; None (default), as a book may be one row.
        near_duplicates: drop rows that share this much with an earlier one, 0.8 say; None (the
            default, as it is ten times slower than all else) drops exact duplicates only.
        normalizers, languages: further steps, after which lengths and duplicates are looked at.

    Raises:
        ConfigError: lengths or a share that allow nothing, or near-duplicates without datasketch.
    """
    limit = sys.maxsize if longest is None else longest
    if not 0 < shortest <= limit:
        raise ConfigError(
            f"lengths from {shortest} to {longest} allow no row: give 0 < shortest ≤ longest"
        )
    steps: list[Step] = [NO_SURROGATES, *normalizers]
    steps.append(Filter(f"under {shortest:,} characters", lambda text: len(text) < shortest))
    if longest is not None:
        steps.append(Filter(f"over {longest:,} characters", lambda text: len(text) > limit))
    steps += [*languages, Filter("exact duplicates", exact_duplicates())]
    if near_duplicates is not None:
        steps.append(Filter("near-duplicates", similar_to_earlier(near_duplicates)))
    return Cleaner(steps)


def darija_cleaner(
    arabizi: bool = True,
    least_arabic: float | None = None,
    shortest: int = SHORTEST,
    longest: int = LONGEST,
    near_duplicates: float | None = None,
) -> Cleaner:
    """The steps for Algerian Darija: those for any text and for comments, and only Darija rows.

    Rows in Arabic letters and rows that mix Arabic with French words are kept; French and other
    languages are dropped, and rows without words. Standard Arabic is not told from Darija.

    Args:
        arabizi: keep Darija in Latin letters, as much of what is written is; False drops it, for
            a vocabulary in one script.
        least_arabic: the share of Arabic letters that a row needs, Arabizi apart; None (default)
            leaves it to `detect_language`, which asks a tenth.
        shortest, longest, near_duplicates: see `text_cleaner`, which raises alike.
    """
    marks, *others = NORMALIZERS
    html = Normalizer("HTML", resolve_html)
    tatweel = Normalizer("tatweel", lambda text: text.replace("\u0640", ""))  # جميـــل: ornament
    languages = [
        drop_language("other", "no words, or another language"),
        drop_language("french", "French"),
    ]
    if not arabizi:
        languages.append(drop_language("arabizi", "Arabizi"))
    if least_arabic is not None:
        if not 0 <= least_arabic <= 1:
            raise ConfigError(f"an Arabic share of {least_arabic} cannot be asked for: give 0 to 1")
        languages.append(
            Filter(
                f"Arabic share under {least_arabic:g}",
                lambda text: (
                    arabic_share(text) < least_arabic and detect_language(text) != "arabizi"
                ),
            )
        )
    normalizers = [marks, html, tatweel, *others]
    return text_cleaner(shortest, longest, near_duplicates, normalizers, languages)
