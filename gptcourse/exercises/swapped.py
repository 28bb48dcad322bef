"""A small tested model, and its copy in which a learner's part stands in place of the package's."""

import copy
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gptcourse.exercises.comparison import described
from gptcourse.exercises.exercise import failure
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm
from gptlib.config import GPTConfig
from gptlib.model import GPT

PARTS: dict[str, tuple[type[nn.Module], str]] = {  # the package's class, and where it stands
    "attention": (CausalSelfAttention, r"blocks\.\d+\.attention"),
    "mlp": (MLP, r"blocks\.\d+\.mlp"),
    "layer_norm": (LayerNorm, r"blocks\.\d+\.ln_[12]|ln_final"),
    "block": (Block, r"blocks\.\d+"),
}


class Wrong(Exception):
    """What is wrong with a part, or with the call, in one sentence."""


class Trial(NamedTuple):
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
            line = f" in line {failed.line} of your cell" if failed.line else ""
            raise Wrong(f"{failed.kind}{line}, {when}: {failed.message}") from None


def trial_of(parts: dict[str, Any]) -> Trial:
    """The one part that was given."""
    if len(parts) != 1 or not set(parts) <= set(PARTS):
        came = ", ".join(f"{name}=" for name in parts) or "nothing"
        known = ", ".join(f"{name}=" for name in PARTS)
        raise Wrong(f"came {came}: give one of {known}, such as swap(attention=MyAttention)")
    ((kind, part),) = parts.items()
    if not (inspect.isclass(part) and issubclass(part, nn.Module)):
        came = f"the class {part.__name__}" if inspect.isclass(part) else type(part).__name__
        raise Wrong(f"{kind}= came {came}: give the name of your class, an nn.Module, alone")
    return Trial(part, kind)


def pair(trial: Trial, config: GPTConfig, spread: float) -> tuple[GPT, GPT]:
    """The tested model, and its copy with the learner's part and the same parameters."""
    ours = GPT(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=spread)
    yours = copy.deepcopy(ours)
    of_layer_norm = trial.kind == "layer_norm"
    arguments = (config.width, config.layer_norm_epsilon) if of_layer_norm else (config,)
    for place, tested in ours.named_modules():
        if re.fullmatch(PARTS[trial.kind][1], place):
            part = trial.run("when it is made", trial.part, *arguments)
            take_over(part, tested)
            above, _, name = place.rpartition(".")
            setattr(yours.get_submodule(above), name, part)
    return ours, yours


def take_over(part: nn.Module, tested: nn.Module) -> None:
    """Give a part the parameters of the tested one, by their names."""
    own, wanted = dict(part.named_parameters()), dict(tested.named_parameters())
    whose = type(tested).__name__
    for name in [*wanted, *own]:
        if name not in own:
            raise Wrong(
                f"the parameter {name} of {whose} is missing: yours are {', '.join(own) or 'none'}"
            )
        if name not in wanted:
            raise Wrong(f"{whose} has no parameter {name}: its own are {', '.join(wanted)}")
        came, expected = tuple(own[name].shape), tuple(wanted[name].shape)
        if came != expected:
            raise Wrong(f"the parameter {name}: expected shape {expected}, came {came}")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(wanted[name])


def alone(trial: Trial, part: nn.Module, x: Tensor) -> None:
    """Raise Wrong unless x (B, T, C) gives finite numbers of the same shape and is left alone."""
    before, came = x.clone(), trial.run(f"for an input of {tuple(x.shape)}", part, x)
    if not isinstance(came, Tensor):
        raise Wrong(f"expected a tensor of shape {tuple(before.shape)}, came {described(came)}")
    if came.shape != before.shape:
        raise Wrong(f"expected shape {tuple(before.shape)}, came {tuple(came.shape)}")
    if came.dtype != before.dtype:
        raise Wrong(f"expected {before.dtype}, came {came.dtype}")
    if not came.isfinite().all():
        count = int((~came.isfinite()).sum())
        raise Wrong(f"{count} of {came.numel()} numbers that came are NaN or infinite")
    if not torch.equal(x, before):
        raise Wrong("it writes into its input: the residual stream still needs that as it was")
