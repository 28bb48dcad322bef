"""The learner's own part inside the tested model: right ones pass, wrong ones are named."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from gptcourse import swap
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm, gelu, layer_norm

pytestmark = pytest.mark.usefixtures("one_thread")


class MyAttention(nn.Module):
    """Right, in another style than the package's."""

    def __init__(self, config):
        super().__init__()
        self.n_heads = config.n_heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.qkv_bias)
        self.projection = nn.Linear(config.width, config.width)
        T = config.context_length
        self.register_buffer("allowed", torch.ones(T, T, dtype=torch.bool).tril())

    def weights(self, scores):
        T = scores.shape[-1]
        return scores.masked_fill(~self.allowed[:T, :T], float("-inf")).softmax(dim=-1)

    def forward(self, x):
        B, T = x.shape[:2]
        query, key, value = self.qkv(x).view(B, T, 3, self.n_heads, -1).unbind(dim=2)
        scores = torch.einsum("bihd,bjhd->bhij", query, key) / query.shape[-1] ** 0.5
        gathered = torch.einsum("bhij,bjhd->bihd", self.weights(scores), value)
        return self.projection(gathered.flatten(2))


class MyMLP(MLP):
    def forward(self, x):
        return self.projection(gelu(x @ self.expand.weight.T + self.expand.bias))


class MyLayerNorm(LayerNorm):
    def forward(self, x):
        return layer_norm(x, self.weight, self.bias, self.epsilon)


class MyBlock(Block):
    def forward(self, x):
        gathered = self.attention(self.ln_1(x))
        thought = self.mlp(self.ln_2(gathered + x))
        return thought + gathered + x


def said(capsys, **parts):
    """What swap returned and printed."""
    figure = swap(**parts)
    return figure, capsys.readouterr().out


RIGHT = {
    "attention": MyAttention,
    "mlp": MyMLP,
    "layer_norm": MyLayerNorm,
    "block": MyBlock,
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_part_in_another_style_has_the_same_logits_and_the_same_curve(capsys, kind):
    figure, out = said(capsys, **{kind: RIGHT[kind]})
    assert out.startswith(f"✓ swap: {RIGHT[kind].__name__} does what")
    assert out.count(": 0.0000\n") == 4  # three shapes, and the curves
    assert "the logits before it stay the same" in out
    ours, yours = (line.split()[2:] for line in out.splitlines()[-3:-1])
    assert ours == yours and float(ours[0]) > float(ours[-1]) + 0.5
    assert isinstance(figure, Figure) and len(figure.axes[0].lines) == 2


class NoMask(MyAttention):
    def weights(self, scores):
        return scores.softmax(dim=-1)


class NoScale(MyAttention):
    def weights(self, scores):
        return super().weights(scores * self.projection.weight.shape[0] ** 0.5)


class SmallVarianceForgotten(LayerNorm):
    def forward(self, x):
        return layer_norm(x, self.weight, self.bias, 0.0)


class CutOff(Block):
    """The logits are right, and its attention never learns."""

    def forward(self, x):
        x = x + self.attention(self.ln_1(x)).detach()
        return x + self.mlp(self.ln_2(x))


@pytest.mark.parametrize(
    ("kind", "part", "future"),
    [
        ("attention", NoMask, "change too"),
        ("attention", NoScale, "stay the same"),
        ("layer_norm", SmallVarianceForgotten, "stay the same"),
    ],
)
def test_a_part_that_runs_but_differs_is_rejected_and_still_trained(capsys, kind, part, future):
    figure, out = said(capsys, **{kind: part})
    assert out.startswith(f"✗ swap: {part.__name__} does not do what")
    assert f"the logits before it {future}" in out
    assert "loss at step" in out and "cut off" not in out and isinstance(figure, Figure)


def test_a_gradient_that_is_cut_off_shows_in_the_curves_alone(capsys):
    out = said(capsys, block=CutOff)[1]
    assert out.startswith("✗ swap: CutOff does not do what Block does")
    assert out.count(": 0.0000\n") == 3
    furthest, asked = out.splitlines()[-2:]
    assert float(furthest.split()[-1]) > 0.01 and "is a gradient cut off" in asked


class OtherGate(MLP):
    def __init__(self, config):
        super().__init__(config)
        self.gelu = nn.GELU()  # the erf form: off by 5e-4 at most


def test_the_parameters_are_large_enough_to_tell_two_forms_of_gelu_apart(capsys):
    out = said(capsys, mlp=OtherGate)[1]
    assert out.startswith("✗ swap: OtherGate does not do what MLP does")
    differences = [line for line in out.splitlines() if line.startswith("    B ")]
    assert len(differences) == 3 and not any(line.endswith("0.0000") for line in differences)


class WrongShape(MyAttention):
    def forward(self, x):
        return super().forward(x)[:, -1]


class GivesNaN(MyAttention):
    def weights(self, scores):  # nothing before the first position: a row of −∞ alone
        T = scores.shape[-1]
        return scores.masked_fill(torch.ones(T, T).triu().bool(), float("-inf")).softmax(dim=-1)


class Fails(MyAttention):
    def forward(self, x):
        return x @ x


class Returns(MLP):
    def forward(self, x):
        self.projection(x.repeat(1, 1, 4))


class ThreeLayers(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.query = nn.Linear(config.width, config.width)


class OneMore(MLP):
    def __init__(self, config):
        super().__init__(config)
        self.gate = nn.Linear(1, 1)


class ThreeTimes(MLP):
    def __init__(self, config):
        super().__init__(config)
        self.expand = nn.Linear(config.width, 3 * config.width)


class InPlace(Block):
    def forward(self, x):
        x += self.attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TakesNothing(nn.Module):
    def __init__(self):
        super().__init__()


class InHalf(MLP):
    def forward(self, x):
        return super().forward(x).half()


class NotForBool(MLP):
    def forward(self, x):
        return (x > 0) @ self.expand.weight.T.bool()


class FailsInTraining(MLP):
    def forward(self, x):
        if self.training:
            raise ValueError("only\nnow")
        return super().forward(x)


class FailsLater(MLP):
    """Works three times in all, then no more."""

    calls = 0

    def forward(self, x):
        FailsLater.calls += 1
        if FailsLater.calls > 3:
            raise SystemExit("enough")
        return super().forward(x)


class NotStarted(nn.Module):
    def __init__(self, config):
        pass


class Lazy(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.expand = nn.LazyLinear(4 * config.width)


class Grows(MLP):
    def forward(self, x):
        return super().forward(x) * (float("inf") if self.training else 1.0)


FAIL_LINE = Fails.forward.__code__.co_firstlineno + 1
NAMED = [
    ("attention", WrongShape, "expected shape (2, 9, 12), came (2, 12)"),
    ("attention", GivesNaN, "of 216 numbers that came are NaN or infinite"),
    (
        "attention",
        Fails,
        f"RuntimeError in line {FAIL_LINE} of your cell, for an input of (2, 9, 12): Expected size",
    ),
    ("mlp", Returns, "expected a tensor of shape (2, 9, 12), came None (is the return missing?)"),
    (
        "attention",
        ThreeLayers,
        "the parameter qkv.weight of CausalSelfAttention is missing: yours are query.weight,",
    ),
    ("mlp", OneMore, "MLP has no parameter gate.weight: its own are expand.weight, expand.bias,"),
    ("mlp", ThreeTimes, "the parameter expand.weight: expected shape (48, 12), came (36, 12)"),
    ("block", InPlace, "it writes into its input"),
    ("block", TakesNothing, "TypeError, when it is made: TakesNothing.__init__() takes 1"),
    ("mlp", InHalf, "expected torch.float32, came torch.float16"),
    ("mlp", NotForBool, "not implemented for 'Bool'"),
    ("mlp", FailsInTraining, "of your cell, while training: only"),
    ("mlp", FailsLater, "of your cell, inside the model: enough"),
    ("mlp", NotStarted, "AttributeError, inside the model: 'NotStarted' object has no attribute"),
    ("mlp", Lazy, "inside the model: "),
    ("mlp", Grows, "the loss of step 1 is nan"),
]


@pytest.mark.parametrize(("kind", "part", "sentence"), NAMED, ids=[c.__name__ for _, c, _ in NAMED])
def test_a_part_that_cannot_go_on_is_named_in_one_line(capsys, kind, part, sentence):
    figure, out = said(capsys, **{kind: part})
    assert figure is None
    assert out.startswith("✗ swap: ") and sentence in out
    assert out.count("\n") == 1


class Stub(MyAttention):
    def forward(self, x):
        raise NotImplementedError("not done yet")


class StubOfInit(nn.Module):
    def __init__(self, config):
        super().__init__()
        raise NotImplementedError


@pytest.mark.parametrize("part", [Stub, StubOfInit])
def test_a_stub_is_not_done_yet(capsys, part):
    assert said(capsys, attention=part) == (None, "· swap: not done yet\n")


@pytest.mark.parametrize(
    ("parts", "came"),
    [
        ({}, "came nothing: give one of attention=, mlp=, layer_norm=, block="),
        ({"mlp": MLP, "block": Block}, "came mlp=, block=: give one of"),
        ({"atention": MyAttention}, "came atention=: give one of"),
        ({"mlp": LayerNorm(3)}, "mlp= came LayerNorm: give the name of your class"),
        ({"mlp": gelu}, "mlp= came function: give the name of your class"),
        ({"mlp": int}, "mlp= came the class int: give the name of your class, an nn.Module"),
    ],
)
def test_a_wrong_call_gets_one_line(capsys, parts, came):
    figure, out = said(capsys, **parts)
    assert figure is None and out.startswith(f"✗ swap: {came}") and out.count("\n") == 1


class Draws(MyAttention):
    def forward(self, x):
        return super().forward(x) + torch.rand_like(x)


@pytest.mark.parametrize("part", [Draws, Fails])
def test_nothing_outside_is_changed(capsys, part):
    torch.manual_seed(7)
    before, forward = torch.random.get_rng_state(), CausalSelfAttention.forward
    with torch.no_grad():
        swap(attention=part)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert CausalSelfAttention.forward is forward


def test_it_prints_the_same_wherever_the_global_stream_stands(capsys):
    before = said(capsys, attention=Draws)[1]
    torch.rand(1)
    assert said(capsys, attention=Draws)[1] == before
