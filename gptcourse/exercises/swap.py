"""``swap(attention=MyAttention)``: the learner's own part inside a small tested model.

With the same parameters it is held against the package's part: what comes out, the logits of the
whole model, what a changed token may change, and 20 steps of training. Like a check, this prints
what came, and never raises for a wrong part.
"""

import copy
import inspect
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from gptcourse.exercises.compare import described
from gptcourse.exercises.exercise import failure, stoppable
from gptlib import plots
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm
from gptlib.config import GPTConfig
from gptlib.data.corpora import load_corpus
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer

SHAPES = ((2, 9, 3, 4), (3, 5, 2, 7), (4, 1, 2, 3))  # B, T, H, D, all different in each
SPREAD = 0.3  # of the parameters while logits are compared: with 0.02 mistakes hide
NEAR = 5e-5  # what is printed as 0.0000; two right ways differ by 1e-6, in float32 and two blocks
STEPS, SHOWN = 20, (1, 5, 10, 15, 20)  # of training; the losses that are printed
PARTS: dict[str, tuple[type[nn.Module], str]] = {  # the package's class, and where it stands
    "attention": (CausalSelfAttention, r"blocks\.\d+\.attention"),
    "mlp": (MLP, r"blocks\.\d+\.mlp"),
    "layer_norm": (LayerNorm, r"blocks\.\d+\.ln_[12]|ln_final"),
    "block": (Block, r"blocks\.\d+"),
}


class Wrong(Exception):
    """What is wrong with a part, or with the call, in one sentence."""


class Candidate(NamedTuple):
    """A learner's class, and what it stands for."""

    part: type[nn.Module]
    kind: str  # a key of PARTS

    @property
    def code(self) -> Any:
        """A function that the learner wrote: an error is told with its line in the same cell."""
        written = [inspect.unwrap(f) for f in vars(self.part).values() if inspect.isfunction(f)]
        return written[-1] if written else self.part

    def run(self, when: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Do what calls the learner's code; an error there becomes one sentence."""
        try:
            return action(*arguments)
        except Wrong:
            raise
        except (Exception, SystemExit) as problem:
            # PyTorch's own "not implemented for 'Bool'" is an error, not a stub
            if isinstance(problem, NotImplementedError) and "mplemented for" not in str(problem):
                raise
            failed = failure(problem, self.code)
            raise Wrong(f"{failed.kind}{failed.place}, {when}: {failed.message}") from None


def swap(**parts: Any) -> Figure | None:
    """Put your class in the place of the package's, and print how a model does with it.

    The global random numbers stay as they are.

    Args:
        parts: one of ``attention=``, ``mlp=`` and ``block=``, a class made from a `GPTConfig`, or
            ``layer_norm=``, made from a width and an epsilon. Its parameters have the names and
            shapes of the package's class; buffers, such as a mask, may be its own.

    Returns:
        The loss curves with the package's part and with yours, or None where yours cannot train.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        try:
            candidate = candidate_of(parts)
            with stoppable("swap", candidate.code):
                figure: Figure = candidate.run("inside the model", compare_models, candidate)
            return figure
        except NotImplementedError:
            print("· swap: not done yet")
        except Wrong as problem:
            print(f"✗ swap: {problem}")
    return None


def candidate_of(parts: dict[str, Any]) -> Candidate:
    """The one part that was given."""
    if len(parts) != 1 or not set(parts) <= set(PARTS):
        came = ", ".join(f"{name}=" for name in parts) or "nothing"
        known = ", ".join(f"{name}=" for name in PARTS)
        raise Wrong(f"came {came}: give one of {known}, such as swap(attention=MyAttention)")
    ((kind, part),) = parts.items()
    if not (inspect.isclass(part) and issubclass(part, nn.Module)):
        came = f"the class {part.__name__}" if inspect.isclass(part) else type(part).__name__
        raise Wrong(f"{kind}= came {came}: give the name of your class, an nn.Module, alone")
    return Candidate(part, kind)


def compare_models(candidate: Candidate) -> Figure:
    """Compare, train and print; raises Wrong where the part cannot go on."""
    apart, leaks = zip(*(compare_logits(candidate, *shape) for shape in SHAPES), strict=True)
    text = load_corpus("sample-story").text
    characters = CharacterTokenizer.train(text)
    stream = torch.tensor(characters.encode(text))
    config = GPTConfig(characters.vocab_size, 32, n_layers=2, n_heads=4, width=32, dropout=0.0)
    ours, yours = both_models(candidate, config, spread=0)
    curves = losses(ours, stream), candidate.run("while training", losses, yours, stream)
    furthest = max(abs(a - b) for a, b in zip(*curves, strict=True))

    tested, part = PARTS[candidate.kind][0].__name__, candidate.part.__name__
    same = max(*apart, furthest) < NEAR and not any(leaks)
    sign, verb = ("✓", "does") if same else ("✗", "does not do")
    print(f"{sign} swap: {part} {verb} what {tested} does")
    print(f"  largest difference of the logits, with parameters of spread {SPREAD}:")
    for (B, T, H, D), difference in zip(SHAPES, apart, strict=True):
        print(f"    B {B}, T {T}, H {H}, D {D}: {difference:.4f}")
    before = "change too" if any(leaks) else "stay the same"
    print(f"  a token changed: the logits before it {before}")
    labels = f"ours: {tested}", f"yours: {part}"
    width = max(map(len, labels))
    print(f"  {'loss at step':{width}}", "".join(f"{step:6}" for step in SHOWN))
    for label, curve in zip(labels, curves, strict=True):
        print(f"  {label:{width}}", "".join(f"{curve[step - 1]:6.2f}" for step in SHOWN))
    print(f"  largest difference of the losses in {STEPS} steps: {furthest:.4f}")
    if max(apart) < NEAR <= furthest:
        print("  right without training: is a gradient cut off, or something drawn, as by dropout?")
    return draw(labels, curves)


@torch.no_grad()
def compare_logits(candidate: Candidate, B: int, T: int, H: int, D: int) -> tuple[float, bool]:
    """The largest difference of the logits, and whether a changed token changes any before it."""
    config = GPTConfig(23, T, n_layers=2, n_heads=H, width=H * D, dropout=0.0)
    ours, yours = (model.eval() for model in both_models(candidate, config, SPREAD))
    ids = torch.randint(23, (B, T), generator=torch.Generator().manual_seed(3))
    for part in yours.modules():
        if isinstance(part, candidate.part):
            check_alone(candidate, part, ours.token_embedding(ids))
    logits, edited, place = yours(ids), ids.clone(), T // 2
    edited[:, place] = (ids[:, place] + 1) % 23
    stays = torch.allclose(logits[:, :place], yours(edited)[:, :place], atol=NEAR, rtol=0)
    return float((logits - ours(ids)).abs().max()), not stays


def both_models(candidate: Candidate, config: GPTConfig, spread: float) -> tuple[GPT, GPT]:
    """The tested model, and its copy with the learner's part and the same parameters."""
    ours = GPT(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=spread)
    yours = copy.deepcopy(ours)
    of_layer_norm = candidate.kind == "layer_norm"
    arguments = (config.width, config.layer_norm_epsilon) if of_layer_norm else (config,)
    for place, tested in ours.named_modules():
        if re.fullmatch(PARTS[candidate.kind][1], place):
            part = candidate.run("when it is made", candidate.part, *arguments)
            copy_parameters(part, tested)
            yours.set_submodule(place, part)
    return ours, yours


def copy_parameters(part: nn.Module, tested: nn.Module) -> None:
    """Give a part the parameters of the tested one, by their names."""
    own, wanted = dict(part.named_parameters()), dict(tested.named_parameters())
    whose = type(tested).__name__
    for name in [*wanted, *own]:
        if name not in own:
            yours = ", ".join(own) or "none"
            raise Wrong(f"the parameter {name} of {whose} is missing: yours are {yours}")
        if name not in wanted:
            raise Wrong(f"{whose} has no parameter {name}: its own are {', '.join(wanted)}")
        came, expected = tuple(own[name].shape), tuple(wanted[name].shape)
        if came != expected:
            raise Wrong(f"the parameter {name}: expected shape {expected}, came {came}")
    part.load_state_dict(tested.state_dict(), strict=False)  # buffers may be its own


def check_alone(candidate: Candidate, part: nn.Module, x: Tensor) -> None:
    """Raise Wrong unless x (B, T, C) gives finite numbers of the same shape and is left alone."""
    before, came = x.clone(), candidate.run(f"for an input of {tuple(x.shape)}", part, x)
    shape = tuple(before.shape)
    if not isinstance(came, Tensor):
        raise Wrong(f"expected a tensor of shape {shape}, came {described(came)}")
    if came.shape != shape:
        raise Wrong(f"expected shape {shape}, came {tuple(came.shape)}")
    if came.dtype != before.dtype:
        raise Wrong(f"expected {before.dtype}, came {came.dtype}")
    if count := int((~came.isfinite()).sum()):
        raise Wrong(f"{count} of {came.numel()} numbers that came are NaN or infinite")
    if not torch.equal(x, before):
        raise Wrong("it writes into its input: the residual stream still needs that as it was")


def losses(model: GPT, stream: Tensor) -> list[float]:
    """Train for a few steps, on the same windows for every model; the loss of each step."""
    T = model.config.context_length
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator, found = torch.Generator().manual_seed(4), list[float]()
    for step in range(1, STEPS + 1):
        starts = torch.randint(len(stream) - T, (8, 1), generator=generator)
        window = stream[starts + torch.arange(T + 1)]  # (B, T + 1)
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
        if not math.isfinite(found[-1]):
            raise Wrong(f"the loss of step {step} is {found[-1]}")
    return found


def draw(labels: tuple[str, str], curves: tuple[list[float], list[float]]) -> Figure:
    """Both curves, the second dashed so that the first is seen where they are one."""
    steps = range(1, STEPS + 1)
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(figsize=(6, 3))
        axes.plot(steps, curves[0], color=plots.REFERENCE, linewidth=4, alpha=0.6, label=labels[0])
        axes.plot(steps, curves[1], "--", color=plots.VALIDATION, label=labels[1])
        axes.set(title=f"{STEPS} steps of training", xlabel="step", ylabel="loss (nats per token)")
        axes.set_xticks(SHOWN)
        axes.legend()
    plt.close(figure)  # a notebook shows it as the cell's result, once
    return figure
