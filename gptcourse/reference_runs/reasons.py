"""Why a curve may lie elsewhere: settings that differ, then the faults that leave such traces."""

import math
from statistics import median
from typing import Any

from gptcourse.reference_runs.bands import Deviation
from gptcourse.reference_runs.recording import Recording
from gptlib.training.metrics import Row

# These change how a run is looked at or how fast it goes, not where its curves lie.
HARMLESS = (
    *("seed", "evaluate_every", "sample_every", "checkpoint_every", "autosave_minutes"),
    *("layers_every", "compile", "precision"),
)
STEADY = 0.1  # how far the ratios of a loss that is merely logged wrong stray from their middle
BEGINNING = 0.3  # of the run: where the warm-up and the first parameters still show


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


def likely_reason(judged: dict[str, Deviation]) -> str:
    """What most often leaves such a trace, the surest sign first.

    Args:
        judged: for each curve of the run where it lies; one of them at least is unusual.
    """
    loss = judged["loss"]
    validation, norm = judged.get("validation_loss"), judged.get("gradient_norm")
    unusual = [found for found in judged.values() if found.unusual]
    if logged_wrong(loss):
        return (
            f"how the loss is logged: it is {loss.ratios[0]:.2f} times the recorded one from the "
            f"first step on, as if averaged twice or not at all"
        )
    if all(in_the_beginning(found) for found in unusual):
        return "the beginning: the learning rate, its warm-up, and how parameters are first drawn"
    if loss.unusual and loss.farthest < 0 and (validation is None or validation.farthest >= 0):
        return (
            "what the model sees: few windows again and again, targets equal to the inputs, or a "
            "mask that lets the future through"
        )
    if loss.unusual or (validation and validation.unusual and norm and norm.unusual):
        return "the learning rate that reaches the optimizer, the warm-up, and the clipping"
    if validation and validation.unusual:
        return "the evaluation: dropout left on, other held-out text, or windows left out"
    return "the gradients: how micro-batches are averaged, and whether clipping comes before them"


def in_the_beginning(found: Deviation) -> bool:
    """Whether most of the points outside lie where the warm-up still shows."""
    early = [step for step in found.outside if step <= BEGINNING * found.steps[-1]]
    return len(early) > 0.6 * len(found.outside)


def logged_wrong(loss: Deviation) -> bool:
    """Whether the loss is the recorded one times a number: training itself could not do that."""
    middle = median(loss.ratios)
    steady = all(abs(ratio / middle - 1) < STEADY for ratio in loss.ratios[: len(loss.ratios) // 4])
    return steady and loss.share > 0.9 and abs(middle - 1) > 2 * STEADY
