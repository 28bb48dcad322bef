"""What a cleaner did: rows and bytes in and out, and for each step what it changed and dropped."""

from dataclasses import asdict, dataclass, field
from typing import Any

EXAMPLES = 3
EXAMPLE_LENGTH = 60  # characters: a table row still fits a screen


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

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)

    def table(self) -> str:
        """A line for each step that did something, between what came and what is left."""
        width = max(len(step.name) for step in [*self.steps, StepReport("documents in")])
        lines = [f"{'step':<{width}}  {'changed':>10}  {'dropped':>10}  {'of all':>6}"]
        lines += [self._line(step, width) for step in self.steps if step.changed or step.dropped]
        came = f"{'documents in':<{width}}  {self.documents_in:>10,}  {self.bytes_in:,} bytes"
        left = f"{'documents out':<{width}}  {self.documents_out:>10,}  {self.bytes_out:,} bytes"
        return "\n".join([came, *lines, left])

    def _line(self, step: StepReport, width: int) -> str:
        share = step.dropped / max(1, self.documents_in)
        return f"{step.name:<{width}}  {step.changed:>10,}  {step.dropped:>10,}  {share:>6.1%}"


def printable(text: str) -> str:
    """The start of a row, safe for any terminal and file: what is invisible is spelled out."""
    start = text[:EXAMPLE_LENGTH]
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in start
    )
    return shown + "…" * (len(text) > EXAMPLE_LENGTH)
