"""Is my curve normal? A run held against a recording, in two or three sentences."""

import math
from typing import Any

from gptcourse.reference_runs.bands import Deviation, deviation
from gptcourse.reference_runs.recording import CURVES, Recording
from gptlib.training.metrics import Row, curve

CALLED = {
    "loss": "training loss",
    "validation_loss": "validation loss",
    "gradient_norm": "gradient norm",
}
# These change how a run is looked at or how fast it goes, not where its curves lie.
HARMLESS = (
    *("seed", "evaluate_every", "sample_every", "checkpoint_every", "autosave_minutes"),
    *("layers_every", "compile", "precision"),
)
NAMED = 3  # differences: enough to see that two runs are not meant to be compared


def verdict(rows: list[Row], recording: Recording) -> str:
    """Whether a run's curves look as the recorded run's did.

    The band of the recording's three seeds is widened, see :mod:`gptcourse.reference_runs.bands`. A
    curve is unusual if more than a tenth of its points lie outside. About one healthy run in ten
    is called unusual, so the sentence says where it leaves the band and does not condemn.

    Args:
        rows: a run's metrics, of a finished run or of one that still goes on.
        recording: a run with the same settings on the same text. Where text or settings differ,
            the sentence names the differences and judges nothing: a curve may lie elsewhere for
            that reason alone.

    Raises:
        ConfigError: no row holds a training loss.
    """
    judged = deviations(rows, recording)
    differences = different_settings(rows[0], recording)
    if differences:
        return f"This run cannot be judged by that recording: {first_of(differences)}."
    if not judged["loss"].steps:
        return (
            f"Too early to tell: the recording's first point is the mean of {recording.block} "
            f"steps, this run has {len(curve(rows, 'loss')[0])}."
        )
    where = "; ".join(f"{CALLED[name]} {told(name, judged[name])}" for name in judged)
    if not any(found.unusual for found in judged.values()):
        going = len(judged["loss"].steps) < len(recording.loss.steps)
        return f"Your curve is normal{' so far' if going else ''}: {where}."
    return (
        f"Your curve is unusual: {where}. One healthy run in ten looks unusual: repeat yours with "
        f"another seed before you search for long."
    )


def first_of(differences: list[str]) -> str:
    """The first differences in words, and how many more there are."""
    more = len(differences) - NAMED
    return "; ".join(differences[:NAMED] + ([f"and {more} more"] if more > 0 else []))


def deviations(rows: list[Row], recording: Recording) -> dict[str, Deviation]:
    """Every recorded curve that the run has as well; the training loss it must have."""
    return {
        name: deviation(rows, recording, name)
        for name in CURVES
        if name == "loss" or curve(rows, name)[0]
    }


def told(name: str, found: Deviation) -> str:
    """Where one curve lies, in words."""
    total, outside = len(found.steps), found.outside
    if not outside:
        return f"in the band at all {total} points"
    far = abs(found.farthest)
    size = (
        f"a factor of {math.exp(min(far, 99)):.2f}"
        if name == "gradient_norm"
        else f"{far:.2f} nats"
    )
    side = "above" if found.farthest > 0 else "below"
    span = f"between steps {outside[0]:,} and {outside[-1]:,}"
    span = f"step {outside[0]:,}" if len(outside) == 1 else span
    return (
        f"outside the band at {len(outside)} of {total} points ({span}), {side} it by up to {size}"
    )


def different_settings(about: Row, recording: Recording) -> list[str]:
    """Every setting of a run, from its first row, that moves its curves and is not the recorded."""
    found = []
    mine, theirs = about.get("corpus") or {}, recording.corpus or {}
    if mine.get("fingerprint") != theirs.get("fingerprint"):
        names = mine.get("name", "unnamed"), theirs.get("name", "unnamed")
        same = " (another version of it)" if names[0] == names[1] else ""
        found.append(f"its text is {names[0]}{same}, recorded {names[1]}")
    found += differing({"tokenizer": about.get("tokenizer")}, {"tokenizer": recording.tokenizer})
    found += differing(about.get("model", {}), recording.model)
    found += differing(moving(about.get("training", {})), moving(recording.training))
    return found


def moving(training: dict[str, Any]) -> dict[str, Any]:
    """The training settings that move a curve; only the product tells the windows of a step."""
    kept = {name: value for name, value in training.items() if name not in HARMLESS}
    windows = kept.pop("batch_size", 1) * kept.pop("accumulation", 1)
    return {"windows of a step": windows, **kept}


def differing(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What both tell, but not the same, each in words."""
    return [
        f"{name} is {value}, recorded {theirs[name]}"
        for name, value in mine.items()
        if None not in (value, theirs.get(name)) and not same(value, theirs[name])
    ]


def same(mine: Any, theirs: Any) -> bool:
    """Whether two settings are equal; 3e-3 / 10 is not 3e-4 to the last bit, but the same rate."""
    if isinstance(mine, float) and isinstance(theirs, float):
        return math.isclose(mine, theirs, rel_tol=1e-9)
    return bool(mine == theirs)
