"""The loss: cross-entropy and all its gradients, without all the logits at once."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gptlib import loss as loss_file
from gptlib.config import GPTConfig
from gptlib.loss import chunked_cross_entropy
from gptlib.model import GPT

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = GPTConfig(vocab_size=50, context_length=16, n_layers=2, n_heads=2, width=12, dropout=0.0)


@pytest.fixture
def seven_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(loss_file, "CHUNK", 7 * TINY.vocab_size)


def draw(N, C, V, dtype=torch.float64, seed=0):
    """Features, weight and targets."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, C, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(V, C, generator=generator, dtype=dtype).requires_grad_()
    return hidden, weight, torch.randint(V, (N,), generator=generator)


def windows(B=3, T=16, V=50):
    ids = torch.randint(V, (B, T + 1), generator=torch.Generator().manual_seed(1))
    return ids[:, :-1], ids[:, 1:]


def plain_loss(model, x, y):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


def twins(dtype=torch.float64):
    model = GPT(TINY, seed=3).to(dtype)
    return model, copy.deepcopy(model)


def assert_same_gradients(model, other, tolerance):
    for mine, its in zip(model.parameters(), other.parameters(), strict=True):
        difference = (mine.grad.double() - its.grad.double()).norm()
        assert difference <= tolerance * its.grad.double().norm()


@settings(max_examples=40, deadline=None)
@given(
    N=st.integers(1, 40),
    C=st.integers(1, 9),
    V=st.integers(1, 150),
    rows=st.integers(1, 45),
    from_above=st.floats(-8, 8),
    seed=st.integers(0, 99),
)
def test_any_number_of_rows_at_a_time_gives_cross_entropy(N, C, V, rows, from_above, seed):
    hidden, weight, targets = draw(N, C, V, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_file, "CHUNK", rows * V)
        loss = chunked_cross_entropy(hidden, weight, targets)
    expected = F.cross_entropy(hidden @ weight.T, targets)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    found = torch.autograd.grad(loss * from_above, (hidden, weight))
    wanted = torch.autograd.grad(expected * from_above, (hidden, weight))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_every_parameter_gets_the_gradient_of_cross_entropy(seven_rows_at_a_time, dtype, tolerance):
    # the token embedding's has two parts: as the table that was looked up, and as the weight
    model, other = GPT(TINY, seed=3).to(dtype), GPT(TINY, seed=3).double()
    loss, expected = model(*windows()), plain_loss(other, *windows())
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    loss.backward()
    expected.backward()
    assert_same_gradients(model, other, tolerance)


def test_micro_batches_add_up_to_one_batch(seven_rows_at_a_time):
    model, other = twins()
    x, y = windows(B=4)
    for part in (slice(0, 2), slice(2, 4)):
        (model(x[part], y[part]) / 2).backward()
    plain_loss(other, x, y).backward()
    assert_same_gradients(model, other, 1e-10)


def test_a_row_that_is_surely_wrong_has_a_finite_loss():
    hidden = torch.tensor([[1e4, 0.0], [0.0, 1.0]], requires_grad=True)  # p(target) rounds to 0
    loss = chunked_cross_entropy(hidden, torch.eye(2), torch.tensor([1, 1]))
    assert loss.item() == pytest.approx((1e4 + 0.3132617) / 2)


def test_a_model_that_knows_nothing_loses_ln_v():
    model = GPT(TINY)
    model.token_embedding.weight.data.zero_()
    assert model(*windows()).item() == pytest.approx(math.log(50), rel=1e-6)


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor holds that any operation returns."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.numbers = max(self.numbers, leaf.untyped_storage().nbytes() // leaf.itemsize)
        return result


def test_the_logits_are_never_there_all_at_once(monkeypatch):
    config = GPTConfig.from_dict({**TINY.to_dict(), "vocab_size": 1_000})
    model, (x, y) = GPT(config, seed=0), windows(B=8, V=1_000)  # 128 · 1,000 logits
    monkeypatch.setattr(loss_file, "CHUNK", 16 * 1_000)
    with Largest() as largest:
        model(x, y).backward()
    assert largest.numbers == 16 * 1_024  # 16 rows; the weight's gradient has 12 · 1,000
    with Largest() as largest:
        plain_loss(model, x, y).backward()
    assert largest.numbers == 128 * 1_000  # so it would be seen


def test_a_small_vocabulary_has_all_rows_at_once():
    with Largest() as largest:
        GPT(TINY)(*windows())
    assert largest.numbers == 48 * 64


def test_without_gradients_nothing_is_prepared_for_them(seven_rows_at_a_time, monkeypatch):
    model, (x, y) = GPT(TINY, seed=3), windows()
    learning = model(x, y)
    monkeypatch.delattr(loss_file, "add_product")  # whoever adds to a gradient fails
    with torch.no_grad():
        loss = model(x, y)
    assert loss.item() == learning.item()
    assert learning.requires_grad and not loss.requires_grad
    with torch.inference_mode():
        assert model(x, y).item() == learning.item()


def test_autocast_gives_its_format_to_products_and_float32_to_the_rest():
    hidden, weight, targets = draw(30, 9, 50, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, targets)
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float()
    assert loss.item() == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)
    exact = chunked_cross_entropy(hidden, weight, targets)
    assert loss.item() != pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_low_precision_stays_close(seven_rows_at_a_time, dtype, tolerance):
    model, other = twins(torch.float32)
    with torch.autocast("cpu", dtype):
        loss = model(*windows())
    expected = plain_loss(other, *windows())
    assert loss.dtype == torch.float32  # not rounded to a multiple of 1/64
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    loss.backward()
    expected.backward()
    assert_same_gradients(model, other, tolerance)


def test_float16_keeps_the_gradient_of_tokens_that_never_come():
    # p is about 1/4,000; divided by 2,048 rows, float16 would have one or two steps left for it
    hidden, weight, targets = draw(2_048, 8, 4_000, torch.float32)
    targets = targets % 10
    with torch.no_grad():
        weight *= 0.1
    expected = F.cross_entropy(hidden @ weight.T, targets)
    wanted = torch.autograd.grad(expected, (hidden, weight))
    with torch.autocast("cpu", torch.float16):
        loss = chunked_cross_entropy(hidden, weight, targets)
    found = torch.autograd.grad(loss, (hidden, weight))
    assert (found[0] - wanted[0]).norm() < 0.01 * wanted[0].norm()
    assert (found[1][10:] - wanted[1][10:]).norm() < 0.01 * wanted[1][10:].norm()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiler_takes_it_in_one_piece(seven_rows_at_a_time, backend):
    hidden, weight, targets = draw(30, 4, 50)

    def scaled(hidden, weight):
        return 3 * chunked_cross_entropy(2 * hidden, weight, targets)

    loss = torch.compile(scaled, backend=backend, fullgraph=True)(hidden, weight)
    expected = 3 * F.cross_entropy(2 * hidden @ weight.T, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    found = torch.autograd.grad(loss, (hidden, weight))
    wanted = torch.autograd.grad(expected, (hidden, weight))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_a_second_derivative_or_a_second_backward_is_refused_not_wrong():
    hidden, weight, targets = draw(5, 4, 6)
    loss = chunked_cross_entropy(hidden, weight, targets)
    with pytest.raises(RuntimeError, match="leave out create_graph=True"):
        torch.autograd.grad(loss, hidden, create_graph=True)
    loss = chunked_cross_entropy(hidden, weight, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_target_outside_the_vocabulary_is_refused():
    # the columns to spare must not take it in
    hidden, weight, _ = draw(2, 4, 6)
    for wrong in (-1, 6, 63, 64):
        with pytest.raises(RuntimeError, match="index"):
            chunked_cross_entropy(hidden, weight, torch.tensor([0, wrong]))


def test_each_row_needs_a_target():
    hidden, weight, _ = draw(2, 4, 6)
    with pytest.raises(ValueError, match="2 rows but 3 targets"):
        chunked_cross_entropy(hidden, weight, torch.tensor([0, 1, 2]))
