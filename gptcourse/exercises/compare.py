"""Compare what came with what was expected, and say where they part."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ATOL, RTOL = 1e-5, 1e-5  # two ways of adding up float32 numbers differ by less
SHOWN = 60  # characters of a value in a message

Found = tuple[str, str, str] | None  # where, what was expected, what came


def difference(expected: Any, came: Any, reveal: bool = True) -> str | None:
    """Return the first difference as one line, or None when there is none.

    Args:
        expected, came: numbers, text, bytes, None, tensors, generators, modules, and sequences
            and dictionaries of these; other objects by their own equality, and where they
            have none, such as functions, by class only.
        reveal: whether the line may say what was expected.
    """
    found = _difference(expected, came)
    if found is None:
        return None
    where, wanted, got = found
    words = f"expected {wanted}, came {got}" if reveal else f"came {got}: that is not it"
    return f"at {where} {words}" if where else words


def _difference(expected: Any, came: Any) -> Found:
    if isinstance(expected, Tensor):
        return _tensors(expected, came)
    if isinstance(expected, nn.Module):
        return _modules(expected, came)
    if isinstance(expected, str | bytes):
        return _texts(expected, came)
    if isinstance(expected, int | float):
        return _numbers(expected, came)
    if isinstance(expected, Mapping):
        return _mappings(expected, came)
    if isinstance(expected, Sequence):
        return _sequences(expected, came)
    if type(came) is not type(expected):
        return _two(expected, came)
    if isinstance(expected, torch.Generator):
        same = torch.equal(expected.get_state(), came.get_state())
        return None if same else ("", "another position in the random numbers", "this one")
    if is_dataclass(expected):
        return _mappings(vars(expected), vars(came))
    without_equality = callable(expected) or type(expected).__eq__ is object.__eq__
    if without_equality and not isinstance(expected, torch.dtype):  # functions, optimizers
        return None
    return None if came == expected else _two(expected, came)


def _two(expected: Any, came: Any) -> Found:
    return "", "None" if expected is None else described(expected), described(came)


def _tensors(expected: Tensor, came: Any) -> Found:
    if not isinstance(came, Tensor):
        return "", f"a tensor of shape {tuple(expected.shape)}", described(came)
    if came.shape != expected.shape:
        return "", f"shape {tuple(expected.shape)}", f"shape {tuple(came.shape)}"
    for kind in ("dtype", "device", "layout"):
        if getattr(came, kind) != getattr(expected, kind):
            return "", str(getattr(expected, kind)), str(getattr(came, kind))
    wanted, got = expected.detach(), came.detach()
    if wanted.is_floating_point():  # integers and booleans have to be the same
        wanted, got = wanted.double(), got.double()
        near = torch.isclose(got, wanted, atol=ATOL, rtol=RTOL, equal_nan=True)
    else:
        near = got == wanted
    if near.all():
        return None
    first = tuple((~near).nonzero()[0].tolist())
    where = f"{list(first)}, the first of {int((~near).sum()):,} of {near.numel():,} places,"
    return where if first else "", described(wanted[first]), described(got[first])


def _modules(expected: nn.Module, came: Any) -> Found:
    if not isinstance(came, nn.Module):
        return _two(expected, came)
    modes, parts = {True: "train mode", False: "eval mode"}, dict(came.named_modules())
    for name, part in expected.named_modules():
        if name in parts and parts[name].training != part.training:
            return repr(name) if name else "", modes[part.training], modes[parts[name].training]
    learning = [
        {name: f"requires_grad {p.requires_grad}" for name, p in module.named_parameters()}
        for module in (expected, came)
    ]
    return _mappings(expected.state_dict(), came.state_dict()) or _mappings(*learning)


def _texts(expected: str | bytes, came: Any) -> Found:
    if type(came) is not type(expected) or max(len(expected), len(came)) <= SHOWN:
        return None if came == expected else _two(expected, came)
    if came == expected:
        return None
    pairs = zip(expected, came, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(came)))
    start = max(0, place - SHOWN // 3)  # with a little of what stands before it
    return f"[{place}]", described(expected[start:]), described(came[start:])


def _numbers(expected: float, came: Any) -> Found:
    if isinstance(came, np.generic) or (isinstance(came, Tensor) and came.numel() == 1):
        came = came.item()
    if not isinstance(came, int | float):
        return _two(expected, came)
    slack = ATOL + RTOL * abs(expected) if isinstance(expected, float) else 0  # integers: none
    near = expected == came or expected - slack <= came <= expected + slack
    both_nan = expected != expected and came != came
    return None if near or both_nan else _two(expected, came)


def _mappings(expected: Mapping[Any, Any], came: Any) -> Found:
    if not isinstance(came, Mapping):
        return _two(expected, came)
    for key, value in expected.items():
        if key not in came:
            return "", f"the key {key!r}", f"the keys {described(list(came))}"
        if found := _difference(value, came[key]):
            where, wanted, got = found
            return f"{key!r} {where}".rstrip(), wanted, got
    surplus = [key for key in came if key not in expected]
    return ("", "no other key", f"the key {surplus[0]!r} too") if surplus else None


def _sequences(expected: Sequence[Any], came: Any) -> Found:
    if not isinstance(came, Sequence) or isinstance(came, str | bytes):
        return _two(expected, came)
    for index, pair in enumerate(zip(expected, came, strict=False)):
        if found := _difference(*pair):
            where, wanted, got = found
            return f"[{index}]{where}", wanted, got
    if len(came) == len(expected):
        return None
    return (
        "",
        f"{len(expected):,} elements, {described(expected)}",
        f"{len(came):,}, {described(came)}",
    )


def described(value: Any) -> str:
    """A value in a few words."""
    if value is None:
        return "None (is the return missing?)"
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_meta:
            return f"a tensor of shape {tuple(value.shape)}"
        value = value.item()
    if isinstance(value, float):
        return f"{value:.6g}"  # digits enough to tell apart what RTOL does
    text = " ".join(repr(value).split("\n"))
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
