"""The learning rate of each step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from gptlib.training.schedule import learning_rate_at


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 6e-5), (9, 6e-4), (10, 6e-4), (2005, 3.3e-4), (4000, 6e-5)]
)
def test_the_darija_run_of_4000_steps(step, rate):
    assert learning_rate_at(step, 6e-4, 6e-5, 10, 4000) == approx(rate, rel=1e-9)


def test_after_the_end_it_stays_on_the_floor():
    assert learning_rate_at(9_999, 6e-4, 6e-5, 10, 4000) == 6e-5


def test_without_warmup_it_starts_at_the_peak():
    assert learning_rate_at(0, 1.0, 0.1, 0, 100) == 1.0


def test_equal_peak_and_floor_give_a_constant():
    assert {learning_rate_at(step, 0.5, 0.5, 0, 10) for step in range(20)} == {0.5}


def test_it_equals_torch_own_cosine():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    for step in range(51):
        assert learning_rate_at(step, 1.0, 0.1, 0, 50) == approx(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()


@given(
    st.floats(1e-6, 10),
    st.floats(0, 1),
    st.integers(0, 50),
    st.integers(1, 200),
    st.integers(0, 300),
)
def test_it_rises_then_falls_and_is_never_zero(peak, share, warmup_steps, total_steps, step):
    floor = share * peak
    rate = learning_rate_at(step, peak, floor, warmup_steps, total_steps)
    after = learning_rate_at(step + 1, peak, floor, warmup_steps, total_steps)
    assert 0 <= rate <= peak * (1 + 1e-12)
    assert step >= total_steps or rate > 0
    if step + 1 < warmup_steps:
        assert after > rate
    elif step >= warmup_steps:
        assert after <= rate * (1 + 1e-12)
