"""Exercise 5.3, spot the bug: the mean loss over all tokens, and nothing changed by looking."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.config import GPTConfig
from gptlib.generation import eval_mode
from gptlib.model import GPT

Batch = tuple[Tensor, Tensor]
SMALL = GPTConfig(11, context_length=12, n_layers=1, n_heads=2, width=6, dropout=0.3)


def cases() -> Iterator[Case]:
    """Batches of different B and T, models in either mode, with dropout."""
    generator = torch.Generator().manual_seed(0)
    for shapes, training in (
        (((1, 4), (1, 12)), True),
        (((3, 5), (3, 5), (2, 5)), False),
        (((2, 7), (4, 3), (1, 2)), True),
    ):
        with torch.random.fork_rng(devices=[]):  # a new model draws
            model = GPT(SMALL)
        for parameter in model.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
        ids = [torch.randint(11, (2, *shape), generator=generator) for shape in shapes]
        batches = [(x, y) for x, y in ids]
        sizes = " and ".join(f"{B} × {T}" for B, T in shapes)
        mode = "train" if training else "eval"
        yield Case(f"batches of {sizes}, model in {mode} mode", (model.train(training), batches))


def looked_at(function: Function, model: GPT, batches: list[Batch]) -> dict[str, Any]:
    """The loss, and what the call does besides."""
    recorded, table = [], model.token_embedding
    watch = table.register_forward_pre_hook(lambda *_: recorded.append(torch.is_grad_enabled()))
    table.weight.grad = before = torch.ones_like(table.weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(731)  # a seed that nobody else sets
        loss = function(model, batches)
        drawn = torch.rand(()).item()
    recording = torch.is_grad_enabled()
    watch.remove()
    untouched = table.weight.grad is before and bool((before == 1).all())
    return {
        "the result": loss,
        "operations are recorded for gradients": any(recorded),
        "operations are recorded afterwards": recording,
        "the gradients of the step before are left alone": untouched,
        "the next random number": drawn,
    }


def mean_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """One batch's mean."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def right(model: GPT, batches: list[Batch]) -> float:
    """Each batch weighs by its tokens."""
    total = 0.0
    with eval_mode(model):
        for x, y in batches:
            total += mean_loss(model, x, y).item() * y.numel()
    return total / sum(y.numel() for _, y in batches)


def left_in_eval(model: GPT, batches: list[Batch]) -> float:
    """This looks like a model left in eval mode: training goes on without dropout after a look."""
    model.eval()
    total, tokens = 0.0, 0
    with torch.no_grad():
        for x, y in batches:
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
            total += loss.item() * y.numel()
            tokens += y.numel()
    return total / tokens


@torch.no_grad()
def left_in_train(model: GPT, batches: list[Batch]) -> float:
    """This looks like a model put into train mode at the end, whatever its mode was before."""
    loss = right(model, batches)
    model.train()
    return loss


@torch.no_grad()
def outermost_mode_alone(model: GPT, batches: list[Batch]) -> float:
    """This puts back the mode of the outermost module only: the parts inside, dropout among them,
    stay in eval mode. `train(mode)` reaches all of them."""
    was_training = model.training
    model.eval()
    loss = right(model, batches)
    model.training = was_training
    return loss


@torch.no_grad()
def dropout_on(model: GPT, batches: list[Batch]) -> float:
    """This looks like dropout left on: each look gives another loss, and draws random numbers."""
    losses = [mean_loss(model, x, y).item() * y.numel() for x, y in batches]
    return sum(losses) / sum(y.numel() for _, y in batches)


def gradients_recorded(model: GPT, batches: list[Batch]) -> float:
    """This looks like an evaluation without torch.no_grad(): memory for gradients nobody wants."""
    total = 0.0
    with eval_mode(model):
        for x, y in batches:
            total += mean_loss(model, x, y).item() * y.numel()
    return total / sum(y.numel() for _, y in batches)


def gradients_off_for_good(model: GPT, batches: list[Batch]) -> float:
    """This looks like gradients switched off and never on again: the next backward() fails."""
    torch.set_grad_enabled(False)
    return right(model, batches)


def parameters_frozen(model: GPT, batches: list[Batch]) -> float:
    """This looks like parameters with requires_grad off: from the first look on nothing learns."""
    return right(model.requires_grad_(False), batches)


def gradients_cleared(model: GPT, batches: list[Batch]) -> float:
    """This looks like a right loss after zero_grad(): a step that is half gathered is lost."""
    model.zero_grad()
    return right(model, batches)


@torch.no_grad()
def mean_of_means(model: GPT, batches: list[Batch]) -> float:
    """This looks like the mean of the batches' means: a token of a small batch weighs more."""
    with eval_mode(model):
        means = [mean_loss(model, x, y).item() for x, y in batches]
    return sum(means) / len(means)


@torch.no_grad()
def weighed_by_windows(model: GPT, batches: list[Batch]) -> float:
    """This looks like batches that weigh by their windows, not by their tokens."""
    with eval_mode(model):
        sums = [mean_loss(model, x, y).item() * len(y) for x, y in batches]
    return sum(sums) / sum(len(y) for _, y in batches)


@torch.no_grad()
def means_over_tokens(model: GPT, batches: list[Batch]) -> float:
    """This looks like means added up and divided by all tokens: each is a mean already."""
    with eval_mode(model):
        means = [mean_loss(model, x, y).item() for x, y in batches]
    return sum(means) / sum(y.numel() for _, y in batches)


@torch.no_grad()
def first_batch_only(model: GPT, batches: list[Batch]) -> float:
    """This looks like the loss of batch 0 alone, perhaps from a return inside the loop."""
    with eval_mode(model):
        return mean_loss(model, *batches[0]).item()


@torch.no_grad()
def last_batch_only(model: GPT, batches: list[Batch]) -> float:
    """This looks like the loss of the last batch: the earlier ones were read and written over."""
    with eval_mode(model):
        for x, y in batches:
            loss = mean_loss(model, x, y).item()
    return loss


@torch.no_grad()
def shuffles(model: GPT, batches: list[Batch]) -> float:
    """This looks like a right loss that draws from the random numbers of training, say to shuffle.

    A run that is looked at more often becomes another run.
    """
    order = torch.randperm(len(batches)).tolist()
    return right(model, [batches[i] for i in order])


def seeds_anew(model: GPT, batches: list[Batch]) -> float:
    """This looks like a seed set at each look: training draws the same numbers again and again."""
    torch.manual_seed(0)
    return right(model, batches)


@torch.no_grad()
def all_losses_summed(model: GPT, batches: list[Batch]) -> float:
    """The same with sums instead of means, and the mode put back by hand."""
    was_training = model.training
    model.eval()
    total = torch.zeros(())
    for x, y in batches:
        total = total + F.cross_entropy(model(x).transpose(1, 2), y, reduction="sum")
    model.train(was_training)
    return (total / sum(y.numel() for _, y in batches)).item()


def all_tokens_in_one_line(model: GPT, batches: list[Batch]) -> float:
    """The same with the loss of every token kept, and softmax written out."""
    was_training, losses = model.training, []
    model.train(False)
    with torch.inference_mode():
        for x, y in batches:
            chance = model(x).softmax(dim=-1).gather(2, y[..., None])  # (B, T, 1)
            losses += (-chance.log()).flatten().tolist()
    model.train(was_training)
    return sum(losses) / len(losses)


EXERCISE = Exercise(
    name="evaluate",
    notebook="05_pretraining_the_verdict",
    rating=2,
    minutes=20,
    right=right,
    cases=cases,
    mistakes=(
        left_in_eval,
        left_in_train,
        outermost_mode_alone,
        dropout_on,
        gradients_recorded,
        gradients_off_for_good,
        parameters_frozen,
        gradients_cleared,
        mean_of_means,
        weighed_by_windows,
        means_over_tokens,
        first_batch_only,
        last_batch_only,
        shuffles,
        seeds_anew,
    ),
    also_right=(all_losses_summed, all_tokens_in_one_line),
    given=left_in_eval,
    observe=looked_at,
)
