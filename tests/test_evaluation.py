"""Loss, clipping and validation: each equals a number worked out another way."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from gptlib.config import GPTConfig
from gptlib.data.dataset import TokenDataset
from gptlib.errors import TrainingDiverged
from gptlib.model import GPT
from gptlib.training.clipping import clip_gradients, gradient_norm
from gptlib.training.evaluation import evaluate, subsample
from gptlib.training.loss import next_token_loss

TINY = GPTConfig(vocab_size=11, context_length=8, n_layers=2, n_heads=2, width=6, dropout=0.5)


@pytest.fixture
def windows():
    generator = torch.Generator().manual_seed(0)
    return TokenDataset(torch.randint(0, 11, (41,), generator=generator), 8)  # five


class Fixed(torch.nn.Module):
    """Gives target 0 the loss that is written in the input; the head hands logits through."""

    def __init__(self):
        super().__init__()
        self.head = torch.eye(2).double()
        self.device = torch.device("cpu")

    def features(self, x):
        wrong = torch.log(torch.expm1(x.double()))  # −log softmax(0, wrong)[0] is x
        return torch.stack([torch.zeros_like(wrong), wrong], dim=-1)  # (B, T, 2)


def test_the_loss_is_the_mean_surprise(windows):
    model = GPT(TINY, seed=3).eval()
    x, y = windows[:]
    surprises = -model(x).softmax(-1).gather(-1, y[..., None]).log()
    assert next_token_loss(model, x, y).item() == pytest.approx(surprises.mean().item(), rel=1e-6)


def test_a_model_that_knows_nothing_loses_ln_v(windows):
    model = GPT(TINY).eval()
    model.token_embedding.weight.data.zero_()
    assert next_token_loss(model, *windows[:]).item() == pytest.approx(math.log(11), rel=1e-6)


def test_evaluation_is_a_mean_over_tokens_not_over_batches():
    # one batch of two windows with loss 2, one of one window with loss 5: 3, not 3.5
    x = torch.tensor([[2, 2], [2, 2], [5, 5]])
    assert evaluate(Fixed(), TensorDataset(x, torch.zeros_like(x)), batch_size=2) == pytest.approx(
        3.0
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 99])
def test_the_batch_size_does_not_change_the_result(windows, batch_size):
    model = GPT(TINY, seed=3)
    whole = evaluate(model, windows, batch_size=5)
    assert evaluate(model, windows, batch_size=batch_size) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_no_trace(windows, training):
    model = GPT(TINY, seed=3).train(training)
    before, stream = [p.clone() for p in model.parameters()], torch.get_rng_state()
    first = evaluate(model, windows)
    assert evaluate(model, windows) == first  # no dropout
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_no_gradient_is_prepared(windows):
    model, outputs = GPT(TINY), []
    model.ln_final.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    evaluate(model, windows)
    assert outputs and not any(output.requires_grad for output in outputs)


def test_the_mode_comes_back_after_an_error(windows):
    model = GPT(TINY).train()
    with pytest.raises(ValueError, match="targets"):
        x, y = windows[:]
        evaluate(model, TensorDataset(x, y[:, :3]))
    assert model.training


def test_a_subsample_is_taken_at_even_distances():
    data = TokenDataset(range(101), 10)
    assert [x[0].item() // 10 for x, _ in subsample(data, 4)] == [0, 2, 5, 7]
    assert all(subsample(data, count) is data for count in (0, 10, 99))


def gradients(*values):
    """A module whose parameters have these gradients."""
    module = torch.nn.ParameterList([torch.zeros(len(v)) for v in values])
    for parameter, value in zip(module, values, strict=True):
        parameter.grad = torch.tensor(value)
    return module


def test_the_norm_of_3_and_4_is_5():
    module = gradients([3.0, 0.0, 0.0], [0.0, 4.0])
    assert gradient_norm(module).item() == 5
    assert clip_gradients(module, 1.0) == (5, 1)
    assert module[0].grad.tolist() == pytest.approx([0.6, 0, 0])
    assert module[1].grad.tolist() == pytest.approx([0, 0.8])


def test_a_short_gradient_is_left_alone():
    module = gradients([0.3], [0.4])
    assert clip_gradients(module, 1.0) == pytest.approx((0.5, 0.5))
    assert module[0].grad.tolist() == pytest.approx([0.3])


def test_clipping_equals_torch_own(windows):
    model, twin = GPT(TINY, seed=4).eval(), GPT(TINY, seed=4).eval()
    for m in (model, twin):
        x, y = windows[:]
        F.cross_entropy(m(x).flatten(0, 1), y.flatten()).backward()
    before, after = clip_gradients(model, 0.01)
    assert before == pytest.approx(torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01).item())
    assert gradient_norm(model).item() == pytest.approx(after, rel=1e-5) == 0.01
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-3, atol=1e-9)


def test_parameters_without_a_gradient_are_passed_over():
    module = gradients([3.0], [4.0])
    module.append(torch.nn.Parameter(torch.zeros(2)))
    assert clip_gradients(module, 10.0) == (5, 5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_named_and_nothing_changes(bad):
    module = gradients([3.0], [bad, 1.0])
    with pytest.raises(TrainingDiverged, match="gradient of 1 is not finite"):
        clip_gradients(module, 1.0)
    assert module[0].grad.tolist() == [3.0]


def test_an_overflowing_sum_is_not_blamed_on_one_parameter():
    with pytest.raises(TrainingDiverged, match="all parameters together"):
        clip_gradients(gradients([3e38], [3e38]), 1.0)
