"""The order of windows: a pure function of seed, epoch and position."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data.batches import Batches, epoch_order
from gptlib.errors import ConfigError


def numbered(n, batch_size, seed=0):
    """Batches of n windows whose content is their number."""
    x = torch.arange(n)[:, None].repeat(1, 3)
    return Batches(x, x + 1000, batch_size, seed)


@given(st.integers(1, 50), st.integers(0, 2**32), st.integers(0, 100))
def test_an_epoch_visits_each_window_once(n, seed, epoch):
    assert sorted(epoch_order(n, seed, epoch)) == list(range(n))


def test_every_epoch_and_every_seed_has_its_own_order():
    orders = {tuple(epoch_order(30, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25  # seed + epoch as one number would give 9


def test_the_order_is_the_same_in_another_process():
    code = (
        "from gptlib.data.batches import epoch_order; print(list(map(int, epoch_order(8, 3, 2))))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(epoch_order(8, 3, 2).tolist())


@given(st.integers(1, 12), st.integers(1, 30))
def test_batches_follow_one_line_of_epochs(n, batch_size):
    batches = numbered(n, batch_size, seed=5)
    line = [int(i) for epoch in range(9) for i in epoch_order(n, 5, epoch)]
    for start in range(0, len(line) - batch_size + 1, batch_size):
        x, _ = batches.at(start)
        assert x[:, 0].tolist() == line[start : start + batch_size]


def test_any_position_can_be_asked_for_in_any_order():
    forth = [numbered(7, 3).at(start)[0].tolist() for start in range(0, 42, 3)]
    batches = numbered(7, 3)
    back = [batches.at(start)[0].tolist() for start in reversed(range(0, 42, 3))]
    assert back[::-1] == forth


def test_targets_come_with_their_inputs():
    x, y = numbered(10, 4).at(2)
    assert torch.equal(y, x + 1000)


def test_torch_random_stream_is_left_alone():
    before = torch.get_rng_state()
    numbered(10, 4).at(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_nothing_is_refused(batch_size):
    with pytest.raises(ConfigError, match="batch of at least 1"):
        numbered(4, batch_size)


def test_inputs_and_targets_must_match():
    with pytest.raises(ConfigError, match="windows of one shape"):
        Batches(torch.zeros(3, 4), torch.zeros(3, 5), 1, 0)
    with pytest.raises(ConfigError, match="at least one"):
        Batches(torch.zeros(0, 4), torch.zeros(0, 4), 1, 0)
