"""Steps in a row, one text at a time."""

from collections.abc import Iterable, Iterator, Sequence

from gptlib.data.cleaning.duplicates import ExactDuplicates, NearDuplicates
from gptlib.data.cleaning.report import CleaningReport, StepReport
from gptlib.data.cleaning.steps import (
    REPAIRS,
    Repair,
    Step,
    broken,
    least_arabic_share,
    length,
    remove_tatweel,
    resolve_html,
    without,
)

SHORTEST = 5  # characters: one short word has no neighbours to learn from
LONGEST = 100_000  # characters: 40 pages; a longer "row" is a file that was not cut into rows


class Cleaner:
    """Takes texts through its steps in order, and keeps count.

    It works lazily and holds one text at a time, besides what a step remembers of those before
    (de-duplication). A cleaner serves one corpus: counts and duplicates go on from call to call.

    Args:
        steps: a text that one step drops does not reach the next.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
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
            if after != text:
                count.changed += 1
                text = after
        return text


def n_bytes(text: str) -> int:
    """Bytes in UTF-8; half a character counts as the three that it would take."""
    return len(text.encode("utf-8", "surrogatepass"))


def text_cleaner(
    shortest: int = SHORTEST, longest: int | None = None, near_duplicates: float | None = None
) -> Cleaner:
    """The steps that suit text in any language.

    Args:
        shortest: characters that a row has at least.
        longest: characters that a row has at most; None (default), as a book may be one row.
        near_duplicates: drop rows that share this much with an earlier one, 0.8 say; None (the
            default, as it is ten times slower than all else) drops exact duplicates only.

    Raises:
        ConfigError: lengths or a share that allow nothing, or near-duplicates without datasketch.
    """
    near = [] if near_duplicates is None else [NearDuplicates(near_duplicates)]
    return Cleaner([broken(), *REPAIRS, *length(shortest, longest), ExactDuplicates(), *near])


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
            leaves it to the kinds, which ask a tenth.
        shortest: characters that a row has at least.
        longest: characters that a row has at most.
        near_duplicates: see `text_cleaner`.

    Raises:
        ConfigError: lengths or a share that allow nothing, or near-duplicates without datasketch.
    """
    of_comments = [Repair("HTML", resolve_html), Repair("tatweel", remove_tatweel)]
    repairs = [REPAIRS[0], *of_comments, *REPAIRS[1:]]
    kinds = [without("other", "no words, or another language"), without("french", "French")]
    if not arabizi:
        kinds.append(without("arabizi", "Arabizi"))
    if least_arabic is not None:
        kinds.append(least_arabic_share(least_arabic))
    near = [] if near_duplicates is None else [NearDuplicates(near_duplicates)]
    bounds = length(shortest, longest)
    return Cleaner([broken(), *repairs, *bounds, *kinds, ExactDuplicates(), *near])
