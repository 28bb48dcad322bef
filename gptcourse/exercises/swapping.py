"""``swap(attention=MyAttention)``: the learner's own part inside a small tested model.

With the same parameters it is held against the package's part: what comes out, the logits of the
whole model, what a changed token may change, and 20 steps of training. Like a check, this prints
what came, and never raises for a wrong part.
"""

import math
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from gptcourse.exercises.exercise import stoppable
from gptcourse.exercises.swapped import PARTS, Trial, Wrong, alone, pair, trial_of
from gptlib import plots
from gptlib.config import GPTConfig
from gptlib.data.corpora import load_corpus
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer

SHAPES = ((2, 9, 3, 4), (3, 5, 2, 7), (4, 1, 2, 3))  # B, T, H, D, all different in each
SPREAD = 0.3  # of the parameters while logits are compared: with 0.02 mistakes hide
NEAR = 5e-5  # what is printed as 0.0000; two right ways differ by 1e-6, in float32 and two blocks
STEPS, SHOWN = 20, (1, 5, 10, 15, 20)  # of training; the losses that are printed


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
            trial = trial_of(parts)
            with stoppable("swap", trial.code):
                figure: Figure = trial.run("inside the model", tried, trial)
            return figure
        except NotImplementedError:
            print("· swap: not done yet")
        except Wrong as problem:
            print(f"✗ swap: {problem}")
    return None


def tried(trial: Trial) -> Figure:
    """Compare, train and print; raises Wrong where the part cannot go on."""
    apart = [parted(trial, shape) for shape in SHAPES]
    leaks = reads_the_future(trial)
    text = load_corpus("sample-story").text
    characters = CharacterTokenizer.train(text)
    stream = torch.tensor(characters.encode(text))
    config = GPTConfig(characters.vocab_size, 32, n_layers=2, n_heads=4, width=32, dropout=0.0)
    ours, yours = pair(trial, config, spread=0)
    curves = losses(ours, stream), trial.run("while training", losses, yours, stream)
    furthest = max(abs(a - b) for a, b in zip(*curves, strict=True))

    tested, part = PARTS[trial.kind][0].__name__, trial.part.__name__
    same = max(*apart, furthest) < NEAR and not leaks
    sign, verb = ("✓", "does") if same else ("✗", "does not do")
    print(f"{sign} swap: {part} {verb} what {tested} does")
    print(f"  largest difference of the logits, with parameters of spread {SPREAD}:")
    for (B, T, H, D), difference in zip(SHAPES, apart, strict=True):
        print(f"    B {B}, T {T}, H {H}, D {D}: {difference:.4f}")
    print(f"  a token changed: the logits before it {'change too' if leaks else 'stay the same'}")
    labels = f"ours: {tested}", f"yours: {part}"
    width = max(map(len, labels))
    print(f"  {'loss at step':{width}}", "".join(f"{step:6}" for step in SHOWN))
    for label, curve in zip(labels, curves, strict=True):
        print(f"  {label:{width}}", "".join(f"{curve[step - 1]:6.2f}" for step in SHOWN))
    print(f"  largest difference of the losses in {STEPS} steps: {furthest:.4f}")
    if max(apart) < NEAR <= furthest:
        print("  right without training: is a gradient cut off, or something drawn, as by dropout?")
    return drawn(labels, curves)


def small_pair(trial: Trial, shape: tuple[int, ...]) -> tuple[GPT, GPT, Tensor]:
    """Both models for one shape, in eval mode with large parameters, and ids (B, T)."""
    B, T, H, D = shape
    config = GPTConfig(23, T, n_layers=2, n_heads=H, width=H * D, dropout=0.0)
    ours, yours = pair(trial, config, SPREAD)
    ids = torch.randint(23, (B, T), generator=torch.Generator().manual_seed(3))
    return ours.eval(), yours.eval(), ids


@torch.no_grad()
def parted(trial: Trial, shape: tuple[int, ...]) -> float:
    """The largest difference of the logits; first the part is tried alone."""
    ours, yours, ids = small_pair(trial, shape)
    for part in yours.modules():
        if isinstance(part, trial.part):
            alone(trial, part, ours.token_embedding(ids))
    return float((yours(ids) - ours(ids)).abs().max())


@torch.no_grad()
def reads_the_future(trial: Trial) -> bool:
    """Whether a changed token changes logits before it."""
    _, yours, ids = small_pair(trial, SHAPES[0])
    place = ids.shape[1] // 2
    edited = ids.clone()
    edited[:, place] = (ids[:, place] + 1) % 23
    before, after = yours(ids)[:, :place], yours(edited)[:, :place]
    return not torch.allclose(before, after, atol=NEAR, rtol=0)


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


def drawn(labels: tuple[str, str], curves: tuple[list[float], list[float]]) -> Figure:
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
