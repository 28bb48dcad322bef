"""The learner's own part inside the tested model: right ones pass, wrong ones are named."""

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from gptcourse import swap
from gptlib.attention import CausalSelfAttention
from gptlib.block import MLP, Block, LayerNorm, gelu, layer_norm

pytestmark = pytest.mark.usefixtures("one_thread")


def said(capsys, **parts):
    """What swap returned and printed."""
    figure = swap(**parts)
    return figure, capsys.readouterr().out


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


def part(base, forward, **methods):
    """A class derived from a part, with a forward of its own."""
    return type("Mine", (base,), {"forward": forward, **methods})


def my_block(self, x):
    gathered = self.attention(self.ln_1(x))
    return self.mlp(self.ln_2(gathered + x)) + gathered + x


RIGHT = {
    "attention": MyAttention,
    "mlp": part(MLP, lambda self, x: self.projection(gelu(self.expand(x)))),
    "layer_norm": part(LayerNorm, lambda s, x: layer_norm(x, s.weight, s.bias, s.epsilon)),
    "block": part(Block, my_block),
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


def erf(self, config):
    MLP.__init__(self, config)
    self.gelu = nn.GELU()  # off by 5e-4 at most


def cut_off(self, x):
    """The logits are right, and its attention never learns."""
    x = x + self.attention(self.ln_1(x)).detach()
    return x + self.mlp(self.ln_2(x))


@pytest.mark.parametrize(
    ("kind", "wrong", "equal_shapes", "future"),
    [
        ("attention", NoMask, 1, "change too"),  # a text of one token has no future
        ("attention", NoScale, 1, "stay the same"),
        ("layer_norm", part(LayerNorm, lambda s, x: layer_norm(x, s.weight, s.bias, 0)), 1, "stay"),
        ("mlp", part(MLP, MLP.forward, __init__=erf), 0, "stay the same"),
        ("block", part(Block, cut_off), 3, "stay the same"),
    ],
)
def test_a_part_that_runs_but_differs_is_rejected_and_still_trained(
    capsys, kind, wrong, equal_shapes, future
):
    figure, out = said(capsys, **{kind: wrong})
    assert out.startswith(f"✗ swap: {wrong.__name__} does not do what")
    assert f"the logits before it {future}" in out and isinstance(figure, Figure)
    assert out.count(": 0.0000\n") == equal_shapes
    furthest = next(line for line in out.splitlines() if "of the losses" in line)
    assert float(furthest.split()[-1]) > 0
    assert ("is a gradient cut off" in out) == (equal_shapes == 3)


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


class Lazy(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.expand = nn.LazyLinear(4 * config.width)


class NotStarted(nn.Module):
    def __init__(self, config):
        pass


class FailsLater(MLP):
    """Works three times in all, then no more."""

    calls = 0

    def forward(self, x):
        FailsLater.calls += 1
        if FailsLater.calls > 3:
            raise SystemExit("enough")
        return super().forward(x)


def multiplies_itself(self, x):
    return x @ x


def fails_in_training(self, x):
    if self.training:
        raise ValueError("only\nnow")
    return MLP.forward(self, x)


def in_place(self, x):
    x += self.attention(self.ln_1(x))
    return x + self.mlp(self.ln_2(x))


def none_allowed(self, scores):  # nothing before the first position: a row of −∞ alone
    T = scores.shape[-1]
    return scores.masked_fill(torch.ones(T, T).triu().bool(), float("-inf")).softmax(dim=-1)


FAILS = part(MyAttention, multiplies_itself)
LINE = multiplies_itself.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "came nothing: give one of attention=, mlp=, layer_norm=, block="),
        ({"mlp": MLP, "block": Block}, "came mlp=, block=: give one of"),
        ({"atention": MyAttention}, "came atention=: give one of"),
        ({"mlp": LayerNorm(3)}, "mlp= came LayerNorm: give the name of your class"),
        ({"mlp": gelu}, "mlp= came function: give the name of your class"),
        ({"mlp": int}, "mlp= came the class int: give the name of your class, an nn.Module"),
        (
            {"attention": part(MyAttention, lambda self, x: MyAttention.forward(self, x)[:, -1])},
            "expected shape (2, 9, 12), came (2, 12)",
        ),
        (
            {"attention": part(MyAttention, MyAttention.forward, weights=none_allowed)},
            "of 216 numbers that came are NaN or infinite",
        ),
        (
            {"attention": FAILS},
            f"RuntimeError in line {LINE} of your cell, for an input of (2, 9, 12): Expected size",
        ),
        (
            {"mlp": part(MLP, lambda self, x: None)},
            "expected a tensor of shape (2, 9, 12), came None (is the return missing?)",
        ),
        (
            {"attention": ThreeLayers},
            "the parameter qkv.weight of CausalSelfAttention is missing: yours are query.weight,",
        ),
        ({"mlp": OneMore}, "MLP has no parameter gate.weight: its own are expand.weight, expand"),
        (
            {"mlp": ThreeTimes},
            "the parameter expand.weight: expected shape (48, 12), came (36, 12)",
        ),
        ({"block": part(Block, in_place)}, "it writes into its input"),
        (
            {"block": part(nn.Module, None, __init__=lambda self: nn.Module.__init__(self))},
            "TypeError, when it is made: ",
        ),
        (
            {"mlp": part(MLP, lambda self, x: MLP.forward(self, x).half())},
            "expected torch.float32, came torch.float16",
        ),
        ({"mlp": part(MLP, lambda s, x: (x > 0) @ s.expand.weight.T.bool())}, "for 'Bool'"),
        ({"mlp": part(MLP, fails_in_training)}, "of your cell, while training: only"),
        ({"mlp": FailsLater}, "of your cell, inside the model: enough"),
        ({"mlp": NotStarted}, "AttributeError, inside the model: 'NotStarted' object has no"),
        ({"mlp": Lazy}, "inside the model: "),
        (
            {"mlp": part(MLP, lambda s, x: MLP.forward(s, x) * (torch.inf if s.training else 1))},
            "the loss of step 1 is nan",
        ),
    ],
)
def test_a_wrong_call_or_a_part_that_cannot_go_on_is_named_in_one_line(capsys, parts, sentence):
    figure, out = said(capsys, **parts)
    assert figure is None
    assert out.startswith("✗ swap: ") and sentence in out and out.count("\n") == 1


class Stub(nn.Module):
    def __init__(self, config):
        super().__init__()
        raise NotImplementedError


def stub(self, x):
    raise NotImplementedError("not done yet")


@pytest.mark.parametrize("attention", [Stub, part(MyAttention, stub)])
def test_a_stub_is_not_done_yet(capsys, attention):
    assert said(capsys, attention=attention) == (None, "· swap: not done yet\n")


DRAWS = part(MyAttention, lambda s, x: MyAttention.forward(s, x) + torch.rand_like(x))


@pytest.mark.parametrize("attention", [DRAWS, FAILS])
def test_nothing_outside_is_changed_and_what_was_drawn_outside_changes_nothing(capsys, attention):
    torch.manual_seed(7)
    before, forward = torch.random.get_rng_state(), CausalSelfAttention.forward
    with torch.no_grad():
        out = said(capsys, attention=attention)[1]
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert CausalSelfAttention.forward is forward
    torch.rand(1)
    assert said(capsys, attention=attention)[1] == out
