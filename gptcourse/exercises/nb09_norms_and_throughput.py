"""The exercises of notebook 09: clipping, the FLOPs of a token, throughput, and a clinic."""

import math
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gptcourse.exercises.diagnose import OTHERWISE, cases_of, load_clinic, other_causes
from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.config import GPTConfig
from gptlib.training import flops
from gptlib.training.metrics import Row, curve

NOTEBOOK = "09_gradient_norms_and_throughput"


# 9.1, a limit on the length of all gradients together
Gradients = list[Tensor | None]


def clip_by_global_norm(gradients: Gradients, limit: float) -> float:
    """Scale all gradients in place by one factor; None and what is not finite are left alone."""
    present = [gradient for gradient in gradients if gradient is not None]
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in present))
    if limit < norm < math.inf:
        for gradient in present:
            gradient *= limit / norm
    return norm


def gradients_to_clip() -> Iterator[Case]:
    """The toy, shapes of one to three axes with gaps, and what has no usable length."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shapes: tuple[int, ...] | None, size: float = 0.3) -> Gradients:
        return [s and size * torch.randn(*s, generator=generator) for s in shapes]  # type: ignore

    yield Case("[3, 0, 0] and [0, 4]", ([torch.tensor([3.0, 0, 0]), torch.tensor([0, 4.0])], 1.0))
    yield Case("a matrix, None, a row", (drawn((4, 3), None, (5,)), 0.5))
    yield Case("None first, three axes", (drawn(None, (2, 3, 4), (7,), (1, 6)), 0.2))
    yield Case("shorter than the limit", (drawn((3, 2), (4,), size=0.01), 1.0))
    for label, bad in (("one NaN", math.nan), ("one infinity", math.inf)):
        yield Case(label, ([*drawn((2, 5)), torch.tensor([0.1, bad, 0.2]), None], 1.0))
    yield Case("all zeros", ([torch.zeros(2, 3), torch.zeros(4)], 1.0))
    yield Case("no gradient at all", ([None, None], 1.0))


def norm_and_tensors(function: Function, gradients: Gradients, limit: float) -> dict[str, Any]:
    """The norm, and the very tensors that were handed in."""
    tensors = list(gradients)
    return {"the norm": function(gradients, limit), "the gradients afterwards": tensors}


NORM = "math.sqrt(sum(gradient.square().sum().item() for gradient in present))"
PRESENT = "[gradient for gradient in gradients if gradient is not None]"
CLIP_MISTAKES = f"""
clipping every tensor by its own norm: that turns the arrow.
    gradient *= limit / norm => gradient *= min(1.0, limit / max(gradient.norm().item(), limit))
the sum of the tensors' norms: their squares add up, not they.
    {NORM} => sum(gradient.norm().item() for gradient in present)
the sum of the squares without the root.
    math.sqrt(sum => (sum
the largest single number instead of the length.
    {NORM} => torch.cat([g.flatten() for g in [*present, torch.zeros(1)]]).abs().max().item()
scaling every gradient to the limit, a short one up: a limit only shortens. Zeros divide by zero
then.
    limit < norm < math.inf => math.isfinite(norm)
scaling a gradient that is below the limit up to it.
    limit < norm < math.inf => 0 < norm < math.inf
the norm after clipping: a log of it never shows more than the limit.
    return norm => return limit if limit < norm < math.inf else norm
cutting each number off at the limit by itself: that turns the arrow.
    limit < norm < math.inf => math.isfinite(norm)
    gradient *= limit / norm => gradient.clamp_(-limit, limit)
a norm for every row of a matrix: the model has a single one.
    limit < norm < math.inf => math.isfinite(norm)
    limit / norm => (limit / gradient.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
stopping at the first None: the tensors after it count as well.
    {PRESENT} => gradients[: [*gradients, None].index(None)]
asking None for its numbers: a parameter without gradient has None.
    {PRESENT} => gradients
    gradient.square() => (gradient**2)
scaling by a norm that is NaN or infinite: afterwards good numbers are NaN or 0 too.
    limit < norm < math.inf => not norm <= limit
scaling by an infinite norm: that makes every good number 0.
    limit < norm < math.inf => norm > limit
a stack of norms, which fails where there is no gradient at all.
    {NORM} => torch.stack([gradient.norm() for gradient in present]).norm().item()
new tensors instead of changed ones: the optimizer still reads the old.
    gradient *= limit / norm => gradient = gradient * (limit / norm)
putting new tensors into the list: the optimizer still reads the old ones, which belong to the
parameters.
    for gradient in present: => for i, gradient in enumerate(gradients):
    gradient *= limit / norm => gradients[i] = None if gradient is None else gradient * limit / norm
"""


def norm_of_norms(gradients: Gradients, limit: float) -> float:
    """The norm of the tensors' norms."""
    present = [gradient for gradient in gradients if gradient is not None]
    norm = torch.stack([g.norm() for g in present] or [torch.tensor(0.0)]).norm()
    for gradient in present:
        gradient.mul_(limit / norm if norm.isfinite() and norm > limit else 1.0)
    return float(norm)


def by_torch(gradients: Gradients, limit: float) -> Tensor:
    """PyTorch's norm, and a factor that is 1 for a short one."""
    norm = torch.nn.utils.get_total_norm(g for g in gradients if g is not None)
    for gradient in gradients:
        if gradient is not None and norm.isfinite():
            gradient.mul_((limit / norm).clamp(max=1))
    return norm


CLIP_BY_GLOBAL_NORM = Exercise(
    *("clip_by_global_norm", NOTEBOOK, clip_by_global_norm, gradients_to_clip),
    mistakes=mistakes(clip_by_global_norm, CLIP_MISTAKES),
    also_right=(norm_of_norms, by_torch),
    observe=norm_and_tensors,
)


# 9.2, the arithmetic of one token in training, from the model's shape
def flops_per_token(config: GPTConfig, T: int) -> int:
    """6N + 12·L·H·D·T; N: weights, biases and LayerNorms, and the token table once."""
    L, H, D, C = config.n_layers, config.n_heads, config.head_width, config.width
    N = config.vocab_size * C + L * (12 * C * C + 9 * C + 4 * C) + 2 * C
    return 6 * N + 12 * L * H * D * T


def shapes_of_models() -> Iterator[Case]:
    """The one by hand, GPT-2, and shapes in which L, H, D, V and T differ pairwise."""
    for config, T in (
        (GPTConfig(10, 8, 1, 1, 4), 2),  # the one by hand
        (GPTConfig.named("gpt2"), 128),
        (GPTConfig(500, 48, 3, 2, 64), 20),
        (GPTConfig(61, 64, 6, 4, 96), 64),
        (GPTConfig(1_000, 40, 1, 5, 35), 7),
        (GPTConfig(97, 16, 4, 1, 24), 1),
    ):
        V, L, H, D = config.vocab_size, config.n_layers, config.n_heads, config.head_width
        yield Case(f"V {V:,}, L {L}, H {H}, D {D}, T {T}", (config, T))


FLOPS_MISTAKES = """
the forward pass alone, 2N + 4·L·H·D·T: training goes back as well.
    6 * N + 12 * L => 2 * N + 4 * L
2N instead of 6N: backward costs twice as much as forward.
    6 * N => 2 * N
4·L·H·D·T for attention: its two products have a backward, too.
    12 * L => 4 * L
6N alone: attention's products over T have no parameters and are missing.
    + 12 * L * H * D * T =>
an N with the position table, which is looked up and never multiplied.
    config.vocab_size * C => (config.vocab_size + config.context_length) * C
a token table that counts twice: one look-up and one product, a single table, and a look-up is no
arithmetic.
    config.vocab_size * C => 2 * config.vocab_size * C
an N without the token table: as the head it is multiplied.
    config.vocab_size * C => 0
an N of weight matrices alone, without biases and LayerNorms: nearly the same, but N is every
parameter except the positions.
    (12 * C * C + 9 * C + 4 * C) + 2 * C => 12 * C * C
an N without the biases of the blocks' four layers.
    + 9 * C =>
an N without LayerNorms: two in each block and a final one.
    + 4 * C) + 2 * C => )
one number for each channel of a LayerNorm: it has two, scale and shift.
    + 4 * C) + 2 * C => + 2 * C) + C
an N without the final LayerNorm.
    ) + 2 * C => )
the attention of one head only: D instead of H·D.
    H * D * T => D * T
the attention of one block only: the L is missing.
    12 * L => 12
T² in attention: that is a window's, one token looks at T keys.
    D * T => D * T * T
the arithmetic of a whole window of T tokens: asked is one token's.
    return 6 * N + 12 * L * H * D * T => return T * (6 * N + 12 * L * H * D * T)
half of attention, since the mask hides half: plain products compute the hidden scores, and the
usual count includes them.
    12 * L => 6 * L
the model's context length instead of the T that was given.
    D * T => D * config.context_length
"""


def by_parts(config: GPTConfig, T: int) -> int:
    """Three times what each part costs forward."""
    C, L = config.width, config.n_layers
    block = 2 * (12 * C * C + 13 * C) + 4 * T * C
    return 3 * (L * block + 2 * config.vocab_size * C + 4 * C)


FLOPS_PER_TOKEN = Exercise(
    *("flops_per_token", NOTEBOOK, flops_per_token, shapes_of_models),
    mistakes=mistakes(flops_per_token, FLOPS_MISTAKES),
    also_right=(flops.flops_per_token, by_parts),
)


# 9.3, spot the bug: tokens per second and utilization of a step of several micro-batches
Shape = tuple[int, int, int]  # A micro-batches of B windows of T tokens
Figures = tuple[float, float]


def throughput(shape: Shape, seconds: float, flops_per_token: float, peak: float) -> Figures:
    """The tokens of the whole step count."""
    A, B, T = shape
    rate = A * B * T / seconds
    return rate, rate * flops_per_token / peak


def steps() -> Iterator[Case]:
    """The log of section 4, and steps in which A, B and T differ pairwise."""
    for shape, *others in (
        ((1, 8, 256), 0.39605, 614.1e6, 5.2e12),  # the log
        ((4, 2, 64), 0.8, 3e6, 2e11),
        ((8, 5, 128), 2.5, 855e6, 3.12e14),
        ((3, 1, 50), 0.02, 4e5, 1e10),
    ):
        yield Case("A {}, B {}, T {}".format(*shape), (shape, *others))


def accumulation_forgotten(
    shape: Shape, seconds: float, flops_per_token: float, peak: float
) -> Figures:
    """This looks like the tokens of one micro-batch over the seconds of the whole step."""
    _, B, T = shape
    rate = B * T / seconds
    return rate, rate * flops_per_token / peak


THROUGHPUT_MISTAKES = """
the tokens of a single window over the seconds of the whole step.
    A * B * T => T
windows per second: each holds T tokens.
    A * B * T => A * B
the two results swapped: the speed comes first.
    rate, rate * flops_per_token / peak => rate * flops_per_token / peak, rate
tokens per millisecond: the time is given in seconds already.
    / seconds => / (1_000 * seconds)
utilization in per cent: asked is a share, 0.61 and not 61.
    rate, rate * => rate, 100 * rate *
the step's FLOPs over the peak: FLOPs are not yet FLOP/s, the seconds are missing.
    / peak => / peak * seconds
three times the FLOPs: those per token hold the way back already.
    rate, rate * => rate, 3 * rate *
peak over speed: a share has the peak below.
    rate * flops_per_token / peak => peak / (rate * flops_per_token)
seconds per token instead of tokens per second.
    return rate, => return 1 / rate,
"""


THROUGHPUT = Exercise(
    *("throughput", NOTEBOOK, throughput, steps),
    mistakes=(accumulation_forgotten, *mistakes(throughput, THROUGHPUT_MISTAKES)),
    also_right=(
        lambda shape, s, cost, peak: (math.prod(shape) / s, math.prod(shape) / s * cost / peak),
        lambda shape, s, cost, peak: [math.prod(shape) / s, cost / (peak * s / math.prod(shape))],
    ),
    given=accumulation_forgotten,
)


# 9.4, a clinic: a norm that is too long in a run whose loss is as it should be
CAUSE = "gradients summed"
OTHER_CAUSES = {
    "losses summed": "If the losses were summed, the loss would be four times the healthy one from "
    "the first step on; here the two loss curves are one.",
    "loss halved": "A loss that is halved in the log shows in the loss curve alone; here that one "
    "is sound, and the norm is not.",
    "norm after clipping": "A norm that is logged after clipping is never above the limit of 1; "
    "here it is, in every step.",
    "no warm-up": "Without warm-up the first norm is the healthy one, and the loss falls faster in "
    "the first steps; here the very first norm is off, and the loss is not.",
    "frozen order": "A frozen order changes nothing before the second epoch; here the norm is off "
    "from the first step.",
    "tokens miscounted": "Miscounted tokens divide the tokens per second by four and nothing else; "
    "here the speed is sound, and the norm is not.",
}
NAMES = (*sorted((CAUSE, *OTHER_CAUSES)), OTHERWISE)


def clinic_b(run: list[Row], healthy: list[Row]) -> str:
    """A norm far longer all the way, and a loss that is the same from the first step on."""
    longer = median(ratios(run, healthy, "gradient_norm")) > 2
    same_loss = abs(median(ratios(run, healthy, "loss")) - 1) < 0.1
    return CAUSE if longer and same_loss else OTHERWISE


def ratios(run: list[Row], healthy: list[Row], name: str) -> list[float]:
    """One curve over the healthy one, step by step."""
    pairs = zip(curve(run, name)[1], curve(healthy, name)[1], strict=True)
    return [mine / its for mine, its in pairs]


def recorded_runs() -> Iterator[Case]:
    """Each beside the healthy one; and the run with a sound norm: no other curve is the answer."""
    yield from cases_of("clinic-09")
    clinic = load_clinic("clinic-09")
    sound = iter(curve(clinic.healthy, "gradient_norm")[1])
    rows = [row | {"gradient_norm": next(sound)} if "loss" in row else row for row in clinic.run]
    yield Case("a run without this fault", (rows, clinic.healthy))


def name_given(function: Function, run: list[Row], healthy: list[Row]) -> dict[str, Any]:
    """What the rule says; a text that is no name of the table is told all of them."""
    name = function(run, healthy)
    if isinstance(name, str) and name not in NAMES:
        raise ValueError(f"give one of {', '.join(NAMES)}; came {name!r}")
    return {"the result": name}


LOSS = 'median(ratios(run, healthy, "loss"))'
RULE = "CAUSE if longer and same_loss else OTHERWISE"
CLINIC_MISTAKES = f"""
one cause whatever the curves show: a healthy run would be told the same. Let the numbers decide.
    {RULE} => CAUSE
a rule that finds the fault in no run: compare the mean norm with the healthy one's.
    {RULE} => OTHERWISE
a rule on the norm alone: another fault lengthens it too, but does not leave the loss curve as it
was.
    longer and same_loss => longer
a rule on the loss alone: a healthy run has such a loss as well.
    longer and same_loss => same_loss
a limit on a curve that parts these few runs by chance: with the healthy norm in the place of its
own, the run is told the same. Which curve does the fault move?
    longer and same_loss => median(curve(run, "tokens_per_second")[1]) < 26_378
a rule that finds the fault in the run of the figure, not with another seed. Are the limits tight,
or do they hold for every single step? Single steps differ much; compare means.
    abs({LOSS} - 1) < 0.1 => all(abs(each - 1) < 0.03 for each in ratios(run, healthy, "loss"))
a rule that finds the right runs, and in one of the others names another fault: that is good
medicine, but asked is "something else" wherever this run's fault is not.
    else OTHERWISE => else "losses summed" if {LOSS} > 2 else OTHERWISE
"""


def first_step_alone(run: list[Row], healthy: list[Row]) -> str:
    """Before the first update only the fault and the seed differ."""
    first = {name: ratios(run, healthy, name)[0] for name in ("loss", "gradient_norm")}
    return CAUSE if first["gradient_norm"] > 2.5 and first["loss"] < 1.5 else "something else"


def never_near_the_healthy_norm(run: list[Row], healthy: list[Row]) -> str:
    """The shortest norm is above the longest healthy one, and the loss is never summed."""
    above = min(curve(run, "gradient_norm")[1]) > max(curve(healthy, "gradient_norm")[1])
    return CAUSE if above and max(curve(run, "loss")[1]) < 5 else OTHERWISE


CLINIC_B = Exercise(
    *("clinic_b", NOTEBOOK, clinic_b, recorded_runs),
    mistakes=(*mistakes(clinic_b, CLINIC_MISTAKES), *other_causes(clinic_b, OTHER_CAUSES)),
    also_right=(first_step_alone, never_near_the_healthy_norm),
    observe=name_given,
    reveal=False,
)

EXERCISES = (CLIP_BY_GLOBAL_NORM, FLOPS_PER_TOKEN, THROUGHPUT, CLINIC_B)
