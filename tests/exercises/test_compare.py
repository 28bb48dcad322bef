"""What differs, and how it is said: against Python's own equality, and in a table."""

import copy
import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gptcourse.exercises.compare import difference

NAN, INF = math.nan, math.inf


def nested(*leaves):
    def both(inner):
        keys = st.text("ab", min_size=1, max_size=2)
        return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)

    return st.recursive(st.one_of(*leaves), both, max_leaves=6)


shapes = st.lists(st.integers(0, 3), max_size=3)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint16, torch.bool])
tensors = st.builds(lambda shape, dtype: torch.full(shape, 1, dtype=dtype), shapes, dtypes)
EXACT = (st.integers(-2, 2), st.booleans(), st.text("xy", max_size=2), st.none(), st.just(b"a"))


@given(nested(*EXACT), nested(*EXACT))
def test_two_values_without_fractions_differ_exactly_when_they_are_not_equal(expected, came):
    assert (difference(expected, came) is None) == (expected == came)


@given(nested(*EXACT, st.floats(), tensors))
def test_a_copy_does_not_differ(value):
    assert difference(value, copy.deepcopy(value)) is None


def leaves(value, place=""):
    """Yield (where it stands, how to set it, what it is) of each leaf of lists and dictionaries."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        step = f"{place}{key!r}" if isinstance(value, dict) else f"{place}[{key}]"
        if isinstance(inner, list | dict):
            yield from leaves(inner, step)
        elif not (isinstance(inner, torch.Tensor) and inner.numel() == 0):
            yield step, functools.partial(value.__setitem__, key), inner


def other(leaf):
    if isinstance(leaf, torch.Tensor):
        return torch.cat([leaf.flatten()[1:], leaf.new_zeros(1)]).view(leaf.shape)
    if isinstance(leaf, str | bytes):
        return leaf + leaf[:0].ljust(1)
    return not leaf if isinstance(leaf, bool) else 5 if leaf != 5 else 6


@given(nested(*EXACT, st.floats(), tensors), st.data())
def test_one_changed_leaf_is_found_and_its_place_is_named(value, data):
    found = copy.deepcopy([value])
    if places := list(leaves(found)):
        place, change, leaf = data.draw(st.sampled_from(places))
        change(other(leaf))
        assert difference([value], found).replace(" ", "").startswith("at" + place)


@dataclass
class Setting:
    rate: float
    table: torch.Tensor


def setting(value):
    return Setting(0.1, torch.tensor([value, 0.0]))


def network(change=lambda module: None):
    """Always the same module, changed."""
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    change(module)
    return module


def filled(module):
    module[0].bias.data[1] = 7.0


def frozen(module):
    module[0].bias.requires_grad_(False)


def generator(drawn=0):
    made = torch.Generator().manual_seed(1)
    torch.rand(drawn, generator=made)
    return made


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        *[(1.0, 1.00001), (1.0, 1), (1, 1.0), (NAN, NAN), (INF, INF), (2.0, torch.tensor([2.0]))],
        *[(1, np.int64(1)), (True, np.True_), ([1, 2], (1, 2)), (10**400, 10**400)],
        *[(torch.tensor(NAN), torch.tensor(NAN)), (torch.zeros(0, 2), torch.zeros(0, 2))],
        *[(torch.ones(2), torch.ones(2, requires_grad=True)), (len, max), (Path("a"), Path("a"))],
        *[(setting(1.0), setting(1.0)), (network(), network()), (generator(), generator())],
    ],
)
def test_what_may_pass_for_the_same(expected, came):
    assert difference(expected, came) is None


ONE, LEARNS = ", the first of 1 of 2 places,", "requires_grad"
DIFFERENT = [
    (124_439_808, 124_439_809, "expected 124439808, came 124439809"),
    (1.0, 1.0001, "expected 1, came 1.0001"),
    (INF, 5.0, "expected inf, came 5"),
    (INF, -INF, "expected inf, came -inf"),
    (5.0, NAN, "expected 5, came nan"),
    (NAN, 5.0, "expected nan, came 5"),
    (5.0, "5", "expected 5, came '5'"),
    (5.0, torch.ones(2), "expected 5, came a tensor of shape (2,)"),
    (5.0, np.ones(2), "expected 5, came array([1., 1.])"),
    (5.0, float, "expected 5, came <class 'float'>"),
    (5.0, 10**400, f"expected 5, came 1{'0' * 59}…"),
    (5, None, "expected 5, came None (is the return missing?)"),
    (None, 5, "expected None, came 5"),
    ("a", b"a", "expected 'a', came b'a'"),
    ("a" * 70, b"a" * 70, f"expected '{'a' * 59}…, came b'{'a' * 58}…"),
    ("a" * 70, "a" * 70 + "b", f"at [70] expected '{'a' * 20}', came '{'a' * 20}b'"),
    ("a" * 90 + "b", "a" * 90 + "c", f"at [90] expected '{'a' * 20}b', came '{'a' * 20}c'"),
    ([1, 2], [1], "expected 2 elements, [1, 2], came 1, [1]"),
    (["a"], "a", "expected ['a'], came 'a'"),
    ({"a": 1}, {}, "expected the key 'a', came the keys []"),
    ({}, {"a": 1}, "expected no other key, came the key 'a' too"),
    ({1}, np.ones(2), "expected {1}, came array([1., 1.])"),
    (torch.float32, torch.float16, "expected torch.float32, came torch.float16"),
    (Path("a"), Path("b"), f"expected {Path('a')!r}, came {Path('b')!r}"),
    (torch.ones(2, 3), torch.ones(3, 2), "expected shape (2, 3), came shape (3, 2)"),
    (torch.ones(2), torch.ones(2).double(), "expected torch.float32, came torch.float64"),
    (torch.ones(2), torch.ones(2, device="meta"), "expected cpu, came meta"),
    (torch.ones(2), torch.ones(2).to_sparse(), "expected torch.strided, came torch.sparse_coo"),
    (torch.ones(2), [1.0, 1.0], "expected a tensor of shape (2,), came [1.0, 1.0]"),
    (torch.tensor(True), torch.tensor(False), "expected True, came False"),
    (torch.tensor(1.0), torch.tensor(1.00003), "expected 1, came 1.00003"),
    (torch.tensor([[5, 9**6]]), torch.tensor([[5, 0]]), f"at [0, 1]{ONE} expected 531441, came 0"),
    (setting(1.0), setting(2.0), f"at 'table' [0]{ONE} expected 1, came 2"),
    (generator(), generator(1), "expected another position in the random numbers, came this one"),
    (network(), network(nn.Module.eval), "expected train mode, came eval mode"),
    (network(), network(lambda m: m[1].eval()), "at '1' expected train mode, came eval mode"),
    (network(), network(filled), f"at '0.bias' [1]{ONE} expected 0, came 7"),
    (network(), network(frozen), f"at '0.bias' expected '{LEARNS} True', came '{LEARNS} False'"),
]


@pytest.mark.parametrize(("expected", "came", "words"), DIFFERENT)
def test_what_differs_is_said_in_words_and_what_was_expected_can_be_kept_secret(
    expected, came, words
):
    assert difference(expected, came) == words
    assert "expected" not in difference(expected, came, reveal=False)
