"""The exercises of notebook 05: windows, the rate of a step, an honest look, and a clinic."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.diagnose import OTHERWISE, cases_of, other_causes
from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.config import GPTConfig
from gptlib.data.dataset import TokenDataset
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.training.metrics import Row, curve
from gptlib.training.optimizer import learning_rate_at

NOTEBOOK = "05_pretraining_the_verdict"
Pair = tuple[Tensor, Tensor]


# 5.1 · A line of ids, cut into windows and their targets
def lines_to_cut() -> Iterator[Case]:
    """Strides below, at and above T; ends that just fit, lack one id, or leave some over."""
    generator = torch.Generator().manual_seed(0)
    for N, T, stride in ((10, 4, 4), (17, 5, 3), (21, 6, 3), (20, 3, 7), (8, 7, 2), (6, 1, 2)):
        ids = torch.randperm(1_000, generator=generator)[:N].tolist()  # no id twice
        yield Case(f"{N} ids, T {T}, stride {stride}", (ids, T, stride))


def x_and_y(function: Function, *arguments: Any) -> dict[str, Any]:
    """Both tensors by their names."""
    found = function(*arguments)
    x, y = found if isinstance(found, tuple | list) and len(found) == 2 else (found, found)
    return {"x": x, "y": y}


def windows(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """Those of the package."""
    return TokenDataset(ids, context_length, stride)[:]


def windows_by_slices(ids: Sequence[int], context_length: int, stride: int) -> Pair:
    """The same with a list of starts; the mistakes are patches of this one."""
    N, T = len(ids), context_length
    starts = range(0, N - T, stride)
    x = torch.tensor([ids[s : s + T] for s in starts])  # (n, T)
    y = torch.tensor([ids[s + 1 : s + 1 + T] for s in starts])  # (n, T)
    return x, y


WINDOWS_MISTAKES = """
y = x: the answer stands in the question, and a model only learns to copy.
    ids[s + 1 : s + 1 + T] => ids[s : s + T]
targets that stand two places later than the inputs instead of one.
    N - T => N - T - 1
    ids[s + 1 : s + 1 + T] => ids[s + 2 : s + 2 + T]
targets one place earlier than the inputs: x and y have changed places.
    return x, y => return y, x
a range that ends too early: a last window that just fits is left out.
    N - T => N - T - 1
one window too many: its inputs still fit, its last target does not.
    N - T => N - T + 1
windows that start all the way to the last id, where T ids no longer fit.
    N - T => N
torch.roll: it brings the first id round to the end, as if it came next.
    N - T => N - T + 1
    ids[s + 1 : s + 1 + T] => [*ids[1:], ids[0]][s : s + T]
windows that begin T ids apart whatever the stride.
    N - T, stride => N - T, T
a window at every single place: the stride plays no part.
    N - T, stride => N - T
starts that lie stride + 1 ids apart: each time one id is never a target.
    N - T, stride => N - T, stride + 1
the right windows in another order: shuffling is the batches' work.
    N - T, stride) => N - T, stride); generator = torch.Generator().manual_seed(1)
    return x, y => i = torch.randperm(len(x), generator=generator); return x[i], y[i]
windows in columns, (T, n) instead of (n, T).
    return x, y => return x.T, y.T
the right numbers as floats, perhaps from torch.zeros: ids are integers.
    return x, y => return x.float(), y.float()
"""


WINDOWS = Exercise(
    *("windows", NOTEBOOK, windows, lines_to_cut, mistakes(windows_by_slices, WINDOWS_MISTAKES)),
    also_right=(
        windows_by_slices,
        lambda ids, T, stride: torch.tensor(ids).unfold(0, T + 1, stride).unfold(1, T, 1).unbind(1),
    ),
    observe=x_and_y,
)


# 5.2 · The learning rate of a step, from its number alone
def steps_of_runs() -> Iterator[Case]:
    """Both ends of the rise and of the fall, steps beyond the end, and runs without a rise."""
    for step in (0, 1, 9, 10, 11, 1_500, 2_005, 3_999, 4_000, 4_900):
        yield Case(f"step {step:,} of 4,000, warm-up 10", (step, 6e-4, 6e-5, 10, 4_000))
    for step in (0, 30, 100):
        yield Case(f"step {step} of 100, no warm-up", (step, 3e-3, 1e-3, 0, 100))
    yield Case("step 3 of 7, warm-up 4", (3, 2e-2, 1e-3, 4, 7))
    yield Case("step 5 of 5, warm-up 5", (5, 1e-2, 4e-3, 5, 5))


def in_millionths(function: Function, *arguments: Any) -> dict[str, Any]:
    """The rate, large enough for a comparison that lets 0.00001 pass."""
    rate = function(*arguments)
    return {"the rate in millionths": rate * 1e6 if hasattr(rate, "__float__") else rate}


RATE_MISTAKES = """
a rise that begins with a rate of 0: step 0 then learns nothing.
    (step + 1) / warmup_steps => step / warmup_steps
a rise in warmup_steps + 1 stairs, which has not reached the peak in time.
    (step + 1) / warmup_steps => (step + 1) / (warmup_steps + 1)
a rise of one step more than warmup_steps: the last stair is above the peak. Steps are counted from
0.
    step < warmup_steps => step <= warmup_steps
a rise that begins at the floor: the floor belongs to the end of the run.
    peak * (step + 1) => floor + (peak - floor) * (step + 1)
a cosine that is counted from step 0: it must begin after the warm-up.
    (step - warmup_steps) / (total_steps - warmup_steps) => step / total_steps
a cosine stretched over total_steps: fewer steps are left after the rise.
    / (total_steps - warmup_steps) => / total_steps
a fall to 0 instead of the floor.
    step >= total_steps => (floor := 0.0) or step >= total_steps
the floor laid on top of the whole peak: the fall begins above the peak.
    (peak - floor) => peak
a cosine that goes on beyond the last step, where it rises again.
    step >= total_steps => False
a cosine of degrees: math.cos takes radians, half a turn is π.
    math.pi * progress => 180 * progress
a cosine from 1 to −1 that was not brought to 1 … 0: the rate sinks below 0. The formula needs
(1 + cos) / 2.
    (1 + math.cos(math.pi * progress)) / 2 => math.cos(math.pi * progress)
1 + cos, which goes from 2 to 0: the fall begins far above the peak.
    (1 + math.cos(math.pi * progress)) / 2 => (1 + math.cos(math.pi * progress))
a straight line down. It meets the cosine at both ends and half way only.
    (1 + math.cos(math.pi * progress)) / 2 => (1 - progress)
a division by warmup_steps at every step: without a warm-up it fails.
    step < warmup_steps => (step + 1) / warmup_steps <= 1
"""
SEEN = {"steps": 0}


def counts_its_calls(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """This looks like a function that remembers its last call: a resumed run gets other rates."""
    SEEN["steps"] = 0 if step == 0 else SEEN["steps"] + 1
    return learning_rate_at(SEEN["steps"], peak, floor, warmup_steps, total)


def in_one_line(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """The same without early returns; cos² of half the angle is the same half cosine."""
    place = min(max(step - warmup_steps, 0), max(total - warmup_steps, 0))
    progress = place / (total - warmup_steps) if total > warmup_steps else 1.0
    fall = floor + (peak - floor) * math.cos(math.pi * progress / 2) ** 2
    return peak / warmup_steps * (step + 1) if step < warmup_steps else fall


def from_above(step: int, peak: float, floor: float, warmup_steps: int, total: int) -> float:
    """The same from the end to the beginning, and the fall measured from the middle."""
    if step >= total:
        return floor
    if step >= warmup_steps:
        angle = math.pi * (step - warmup_steps) / (total - warmup_steps)
        return (peak + floor) / 2 + (peak - floor) / 2 * math.cos(angle)
    return (step + 1) * peak / warmup_steps


LEARNING_RATE_AT = Exercise(
    *("learning_rate_at", NOTEBOOK, learning_rate_at, steps_of_runs),
    mistakes=(*mistakes(learning_rate_at, RATE_MISTAKES), counts_its_calls),
    also_right=(in_one_line, from_above),
    observe=in_millionths,
)


# 5.3 · Spot the bug: the mean loss over all tokens, and nothing changed by looking

SMALL = GPTConfig(11, context_length=12, n_layers=1, n_heads=2, width=6, dropout=0.3)


def models_and_batches() -> Iterator[Case]:
    """Batches of different B and T, models in either mode, with dropout."""
    generator = torch.Generator().manual_seed(0)
    for shapes, mode in (
        (((1, 4), (1, 12)), "train"),
        (((3, 5), (3, 5), (2, 5)), "eval"),
        (((2, 7), (4, 3), (1, 2)), "train"),
    ):
        model = GPT(SMALL).train(mode == "train")
        for parameter in model.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
        batches = [tuple(torch.randint(11, (2, *shape), generator=generator)) for shape in shapes]
        sizes = " and ".join(f"{B} × {T}" for B, T in shapes)
        yield Case(f"batches of {sizes}, model in {mode} mode", (model, batches))


def loss_and_traces(function: Function, model: GPT, batches: list[Pair]) -> dict[str, Any]:
    """The loss, and what the call does besides."""
    recorded, table = [], model.token_embedding
    watch = table.register_forward_pre_hook(lambda *_: recorded.append(torch.is_grad_enabled()))
    table.weight.grad = before = torch.ones_like(table.weight)
    loss = function(model, batches)
    watch.remove()
    return {
        "the result": loss,
        "operations are recorded for gradients": any(recorded),
        "operations are recorded afterwards": torch.is_grad_enabled(),
        "the gradients of the step before are left alone": table.weight.grad is before
        and bool((before == 1).all()),
        "the next random number": torch.rand(()).item(),
    }


def evaluate(model: GPT, batches: list[Pair]) -> float:
    """Each batch weighs by its tokens, and the mode is put back."""
    was_training, total, tokens = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for x, y in batches:
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()
            total += loss * y.numel()
            tokens += y.numel()
    model.train(was_training)
    return total / tokens


def left_in_eval(model: GPT, batches: list[Pair]) -> float:
    """This looks like a model left in eval mode: training goes on without dropout after a look."""
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for x, y in batches:
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            total += loss.item() * y.numel()
            tokens += y.numel()
    return total / tokens


EVALUATE_MISTAKES = """
a model put into train mode at the end, whatever its mode was before.
    model.train(was_training) => model.train()
the mode of the outermost module put back alone: the parts inside, dropout among them, stay in eval
mode. `train(mode)` reaches all of them.
    model.train(was_training) => model.training = was_training
dropout left on: each look gives another loss, and draws random numbers.
    model.eval() =>
an evaluation without torch.no_grad(): memory for gradients nobody wants.
    torch.no_grad() => torch.enable_grad()
gradients switched off and never on again: the next backward() fails.
    model.eval() => model.eval(), torch.set_grad_enabled(False)
parameters with requires_grad off: from the first look on nothing learns.
    model.eval() => model.eval().requires_grad_(False)
a right loss after zero_grad(): a step that is half gathered is lost.
    model.eval() => model.eval().zero_grad()
the mean of the batches' means: a token of a small batch weighs more.
    loss * y.numel() => loss
    tokens += y.numel() => tokens += 1
batches that weigh by their windows, not by their tokens.
    loss * y.numel() => loss * len(y)
    tokens += y.numel() => tokens += len(y)
means added up and divided by all tokens: each is a mean already.
    loss * y.numel() => loss
the loss of batch 0 alone, perhaps from a return inside the loop.
    tokens += y.numel() => tokens += y.numel(); break
the loss of the last batch: the earlier ones were read and written over.
    total += loss => total = loss
    tokens += y.numel() => tokens = y.numel()
a right loss that draws from the random numbers of training, say to shuffle. A run that is looked at
more often becomes another run.
    in batches => in [batches[i] for i in torch.randperm(len(batches))]
a seed set at each look: training draws the same numbers again and again.
    model.eval() => model.eval(), torch.manual_seed(0)
"""


@torch.no_grad()
def every_token(model: GPT, batches: list[Pair]) -> float:
    """The same with the loss of every token kept, and softmax written out."""
    was_training, losses = model.training, []
    for x, y in batches:
        chance = model.eval()(x).softmax(dim=-1).gather(2, y[..., None])  # (B, T, 1)
        losses += (-chance.log()).flatten().tolist()
    model.train(was_training)
    return sum(losses) / len(losses)


@torch.no_grad()
def all_losses_summed(model: GPT, batches: list[Pair]) -> float:
    """The same with sums instead of means."""
    with eval_mode(model):
        sums = [F.cross_entropy(model(x).mT, y, reduction="sum").item() for x, y in batches]
    return sum(sums) / sum(y.numel() for _, y in batches)


EVALUATE = Exercise(
    *("evaluate", NOTEBOOK, evaluate, models_and_batches),
    mistakes=(left_in_eval, *mistakes(evaluate, EVALUATE_MISTAKES)),
    also_right=(every_token, all_losses_summed),
    given=left_in_eval,
    observe=loss_and_traces,
)


# 5.4 · A clinic: a run whose loss is too good

CAUSE = "y = x"


def clinic_a(run: list[Row], healthy: list[Row]) -> str:
    """Less surprised than knowing nothing before the first update, in the end by nothing at all."""
    losses, sound = curve(run, "loss")[1], curve(healthy, "loss")[1]
    ahead = losses[0] < sound[0] - 0.3
    unseen = curve(run, "validation_loss")[1][-1]
    return CAUSE if ahead and unseen < 0.2 else OTHERWISE


RULE_MISTAKES = """
one cause named whatever the curves show: a healthy run would be told the same. Let the numbers
decide.
    ahead and unseen < 0.2 => True
a rule that finds the fault in no run. Compare the first and the last losses with the healthy ones.
    ahead and unseen < 0.2 => False
a rule on the last training loss or norm alone: a model that has one batch by heart comes near 0
too. Look at another curve as well.
    ahead and unseen < 0.2 => losses[-1] < 0.2
a rule on how far the training loss ends below the healthy one: one batch by heart brings it down as
well, and so does a log that halves it. Look at another curve as well.
    ahead and unseen < 0.2 => losses[-1] < 0.6 * sound[-1]
a rule on how low validation ends: a model that was trained on the held-out text has that by heart
too. Look at the first step as well.
    ahead and unseen < 0.2 => unseen < 0.2
a rule on the first training loss alone: a log that halves every loss begins lower too. Look at
another curve as well.
    ahead and unseen < 0.2 => ahead
"""
OTHER_CAUSES = {
    "one batch": "One batch in every step brings the training loss near 0 as well, but the "
    "validation loss would rise; here it falls with it.",
    "future visible": "Whoever may see the future has yet to learn to look there: the first loss "
    "would be the healthy one; here it is lower before the first update.",
    "loss halved": "A loss that is halved in the log stays half of the healthy one and leaves "
    "validation and norm alone; here all three go toward 0.",
    "validation in training": "Held-out text that is trained on brings validation down to "
    "training; here it is the training loss itself that is too good.",
    "rate too high": "A rate that is far too high leaves the loss near that of counting "
    "characters; here it falls to almost nothing.",
    "no zero_grad": "Gradients that are never cleared hold the loss above the healthy one; here "
    "it is far below, and the norm fades.",
}


def before_the_first_update(run: list[Row], healthy: list[Row]) -> str:
    """The first look at held-out text tells all."""
    first, sound = (curve(rows, "validation_loss")[1][0] for rows in (run, healthy))
    return CAUSE if first < 0.95 * sound else OTHERWISE


def from_low_to_nothing(run: list[Row], healthy: list[Row]) -> str:
    """The training loss alone, but its beginning and its end."""
    first, *_, last = curve(run, "loss")[1]
    return CAUSE if first < 3.9 and last < 0.2 else OTHERWISE


CLINIC_A = Exercise(
    *("clinic_a", NOTEBOOK, clinic_a, lambda: cases_of("clinic-05")),
    mistakes=(*mistakes(clinic_a, RULE_MISTAKES), *other_causes(clinic_a, OTHER_CAUSES)),
    also_right=(before_the_first_update, from_low_to_nothing),
    reveal=False,
)

EXERCISES = (WINDOWS, LEARNING_RATE_AT, EVALUATE, CLINIC_A)
