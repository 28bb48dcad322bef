"""Is my curve normal? A run held against the band of a recording, in two or three sentences.

Three seeds show too small a range: half of a fourth run's points lie outside it. So the band is
widened on each side by `WIDENING` times the widest range among the neighboring points. Norms are
held against each other on a log scale, as they are drawn.

Measured on a model of 30,000 parameters (characters of sample-story, 200 steps; 1,000 draws of
three recorded seeds and a fresh one out of 40): 97 % of a fresh run's points lie in the band. They
hang together, though: 11 % of these healthy runs have more than `TOLERATED` of some curve's points
outside. The rate depends on how alike the recorded seeds happen to be: for four recordings it was
0, 3, 9 and 19 of 37 fresh runs. What is outside is therefore called unusual, never wrong. With the
larger model of the recording 09-sample-story, 10 of 10 fresh seeds were normal, 99.8 % inside.
"""

import math
from dataclasses import dataclass
from typing import Any

from gptcourse.reference_runs.recording import CURVES, Curve, Recording, points
from gptlib.training.metrics import Row, curve

WIDENING = 2.0  # ranges of three seeds, on each side
NEIGHBORS = 2  # points on each side whose range counts: a bend comes earlier or later by seed
LEAST = {"loss": 0.02, "validation_loss": 0.02, "gradient_norm": 0.05}  # nats; of ln(norm)
TOLERATED = 0.1  # share of a curve's points that may lie outside


@dataclass(frozen=True)
class Deviation:
    """Where one curve of a run lies, at every point that it shares with a recording."""

    steps: list[int]
    values: list[float]
    beyond: list[float]  # 0 in the band, above 0 over it, below 0 under it; norms: of ln(norm)

    @property
    def outside(self) -> list[int]:
        """The steps of the points outside the band."""
        return [step for step, far in zip(self.steps, self.beyond, strict=True) if far != 0]

    @property
    def share(self) -> float:
        """The share of points outside the band."""
        return len(self.outside) / max(1, len(self.steps))

    @property
    def unusual(self) -> bool:
        """Whether more points lie outside than most healthy runs have there."""
        return self.share > TOLERATED

    @property
    def farthest(self) -> float:
        """The largest distance from the band, with its sign; 0 where all lie inside."""
        return max(self.beyond, key=abs, default=0.0)


def scale_of(name: str, value: float) -> float:
    """A value on the axis on which it is compared: norms in logarithms."""
    return math.log(max(value, 1e-30)) if name == "gradient_norm" else value


def widened(name: str, curve: Curve) -> tuple[list[float], list[float]]:
    """The band in which a fresh run's points are expected.

    Returns:
        Its lower and upper side at each of the curve's steps, in the curve's own unit.
    """
    low, high = ([scale_of(name, v) for v in side] for side in (curve.low, curve.high))
    ranges = [top - foot for foot, top in zip(low, high, strict=True)]
    around = [
        max(ranges[max(0, place - NEIGHBORS) : place + NEIGHBORS + 1])
        for place in range(len(ranges))
    ]
    margins = [max(WIDENING * size, LEAST[name]) for size in around]
    back = math.exp if name == "gradient_norm" else float
    return (
        [back(foot - margin) for foot, margin in zip(low, margins, strict=True)],
        [back(top + margin) for top, margin in zip(high, margins, strict=True)],
    )


def deviation(rows: list[Row], recording: Recording, name: str) -> Deviation:
    """Hold one curve of a run against the recorded band.

    Args:
        rows: the run's metrics; it may still be going on.
        recording: the reference.
        name: one of `CURVES`.

    Raises:
        ConfigError: no row holds `name`.
    """
    curve: Curve = getattr(recording, name)
    mine = dict(zip(*points(rows, name, recording.block), strict=True))
    places = [place for place, step in enumerate(curve.steps) if step in mine]
    steps = [curve.steps[place] for place in places]
    feet, tops = widened(name, curve)
    return Deviation(
        steps=steps,
        values=[mine[step] for step in steps],
        beyond=[
            distance(name, mine[step], feet[place], tops[place])
            for step, place in zip(steps, places, strict=True)
        ],
    )


def distance(name: str, value: float, foot: float, top: float) -> float:
    """How far a value lies over `top` (above 0) or under `foot` (below 0); 0 between them."""
    if foot <= value <= top:
        return 0.0
    if not math.isfinite(value):
        return math.inf
    nearest = top if value > top else foot
    return scale_of(name, value) - scale_of(name, nearest)


# In words


CALLED = {
    "loss": "training loss",
    "validation_loss": "validation loss",
    "gradient_norm": "gradient norm",
}
# These change how a run is looked at or how fast it goes, not where its curves lie.
HARMLESS = (
    *("seed", "evaluate_every", "sample_every", "checkpoint_every", "autosave_minutes"),
    *("layers_every", "log_layers_every", "compile", "precision"),
)
NAMED = 3  # differences: enough to see that two runs are not meant to be compared


def verdict(rows: list[Row], recording: Recording) -> str:
    """Whether a run's curves look as the recorded run's did.

    A curve is unusual if more than a tenth of its points lie outside the widened band. About one
    healthy run in ten is called unusual, so the sentence says where it leaves the band and does
    not condemn.

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
