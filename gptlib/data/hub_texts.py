"""Which data sets of the Hugging Face hub there are: named ones, and any other by its address.

Their facts and licences stand in ``data/README.md``.
"""

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from gptlib.errors import CorpusError

PREFIX = "hub:"
FORM = "hub:owner/name?config=…&split=…&column=…"
DUMP = "20231101"  # the date of Wikipedia's copy on the hub


@dataclass(frozen=True)
class HubText:
    """One column of one split of a data set, and what stands in for it."""

    name: str
    repository: str
    config: str | None = None  # None: the data set's own default
    split: str = "train"  # "train[:10%]" takes a slice
    column: str = "text"
    licence: str = "its owner's: read its page on the hub"
    stand_in: str = "sample-articles"
    gated: bool = False  # whether its owner asks for a login
    large: bool = False  # whether the whole would not fit in memory

    @property
    def source(self) -> str:
        """Where it is from, in one line."""
        config = f", config {self.config}" if self.config else ""
        return f"{self.repository} on the Hugging Face hub{config}, split {self.split}"


NAMED = {
    text.name: text
    for text in (
        HubText(
            *("wikipedia", "wikimedia/wikipedia", f"{DUMP}.en"),
            licence="CC BY-SA 3.0 and GFDL",
            large=True,
        ),
        HubText(
            *("darija", "ayoubkirouane/Algerian-Darija", None, "v1", "Text", "CC BY 4.0"),
            stand_in="sample-darija",
        ),
        HubText("openwebtext", "Skylion007/openwebtext", licence="CC0", large=True),
        HubText(
            *("tiny-textbooks", "nampdn-ai/tiny-textbooks"),
            column="textbook",
            licence="Apache-2.0",
            gated=True,
        ),
    )
}


def hub_text(name: str, language: str | None = None) -> HubText | None:
    """The data set that a name or an address means; None where it means none.

    Args:
        name: a key of `NAMED`, or ``hub:owner/name?config=…&split=…&column=…``.
        language: of Wikipedia, as in its web address: ``en`` (the default), ``ar``, ``ary`` …

    Raises:
        CorpusError: an address that cannot be read, or a language for another text.
    """
    text = parse_address(name) if name.startswith(PREFIX) else NAMED.get(name)
    if language is None:
        return text
    if text is None or text.name != "wikipedia" or not re.fullmatch(r"[a-z][a-z0-9-]*", language):
        raise CorpusError(
            f"{name} has no language {language!r}: only wikipedia takes one, such as en or ar"
        )
    return replace(text, config=f"{DUMP}.{language}")


def parse_address(address: str) -> HubText:
    """Read ``hub:owner/name?config=…&split=…&column=…``; each of the three may be left out."""
    repository, _, query = address.removeprefix(PREFIX).partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    chosen: Any = dict(pairs)
    if (
        not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII)
        or not set(chosen) <= {"config", "split", "column"}
        or len(chosen) < len(pairs)
        or not all(chosen.values())
        or bool(query) != bool(pairs)
    ):
        raise CorpusError(f"{address!r} is no address of a data set: write {FORM}")
    return HubText(file_name(address.removeprefix(PREFIX)), repository, **chosen)


def file_name(address: str) -> str:
    """The address as a name that any file system takes."""
    return re.sub(r"[^\w.-]+", "--", address).strip("-.")
