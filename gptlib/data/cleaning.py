"""Noisy rows in, clean rows out, with a count of what each step changed and dropped.

A step is a function with a name: it takes a text and returns it, or None, which drops the row.
A normalizer applied twice does what it did once, so clean text may be cleaned again.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gptlib.data.language_id import Language, arabic_share, darija_score, detect_language
from gptlib.data.normalizers import (
    fold_spaces,
    limit_repeats,
    mask_addresses,
    normalize_unicode,
    remove_marks,
    resolve_html,
)
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


@dataclass(frozen=True)
class Note:
    """A step that counts rows for a reason, and neither changes nor drops them."""

    name: str  # in the report
    notes: Callable[[str], bool]

    def __call__(self, text: str) -> str:
        return text


Step = Normalizer | Filter | Note

NORMALIZERS = (
    Normalizer("invisible marks", remove_marks),
    Normalizer("Unicode form", normalize_unicode),
    Normalizer("white space", fold_spaces),
    Normalizer("repeated characters", limit_repeats),
)


SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which UTF-8 cannot hold

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
    noted: int | None = None  # None for steps that note nothing
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
            if step.changed or step.dropped or step.noted:
                counted, fate = step.changed, f"{step.dropped:,}"
                if step.noted:
                    counted, fate = step.noted, "kept"
                share = (step.noted or step.dropped) / self.documents_in
                lines.append(f"{step.name:<{width}}  {counted:>10,}  {fate:>10}  {share:>6.1%}")
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
            if isinstance(step, Note):
                count.noted = (count.noted or 0) + step.notes(text)
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
    languages: Iterable[Step] = (),
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
    least_darija: float | None = None,
    shortest: int = SHORTEST,
    longest: int = LONGEST,
    near_duplicates: float | None = None,
) -> Cleaner:
    """The steps for Algerian Darija: those for any text and for comments, and only Darija rows.

    Rows in Arabic letters and rows that mix Arabic with French words are kept; French and other
    languages are dropped, and rows without words. Links, e-mail addresses, @names and phone numbers
    are masked. Rows that read like standard Arabic are kept, and counted in the report.

    Args:
        arabizi: keep Darija in Latin letters, as much of what is written is; False drops it, for
            a vocabulary in one script.
        least_arabic: the share of Arabic letters that a row needs, Arabizi apart; None (default)
            leaves it to `detect_language`, which asks a tenth.
        least_darija: the `darija_score` that a row in Arabic letters alone needs; 0.5 drops what
            reads like standard Arabic; None (default) keeps it.
        shortest, longest, near_duplicates: see `text_cleaner`, which raises alike.
    """
    for share, what in ((least_arabic, "an Arabic share"), (least_darija, "a Darija score")):
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"{what} of {share} cannot be asked for: give 0 to 1")
    marks, *others = NORMALIZERS
    html = Normalizer("HTML", resolve_html)
    tatweel = Normalizer("tatweel", lambda text: text.replace("\u0640", ""))  # جميـــل: ornament
    languages: list[Step] = [
        drop_language("other", "no words, or another language"),
        drop_language("french", "French"),
    ]
    if not arabizi:
        languages.append(drop_language("arabizi", "Arabizi"))
    if least_arabic is not None:
        languages.append(
            Filter(
                f"Arabic share under {least_arabic:g}",
                lambda text: (
                    arabic_share(text) < least_arabic and detect_language(text) != "arabizi"
                ),
            )
        )
    score = 0.5 if least_darija is None else least_darija

    def reads_standard(text: str) -> bool:
        return detect_language(text) == "arabic" and darija_score(text) < score

    step = Note if least_darija is None else Filter
    languages.append(step(f"Darija score under {score:g}", reads_standard))
    normalizers = [marks, html, tatweel, *others, Normalizer("addresses", mask_addresses)]
    return text_cleaner(shortest, longest, near_duplicates, normalizers, languages)
