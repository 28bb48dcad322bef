"""The learner's own part inside the tested model: right ones pass, wrong ones are named."""

import sys

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


class Attention(nn.Module):
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


BASES = {"attention": Attention, "mlp": MLP, "layer_norm": LayerNorm, "block": Block}
FORWARD, INIT = "forward(self, x)", "__init__(self, config)"
NAMES = {"layer_norm": layer_norm, "gelu": gelu, "torch": torch, "nn": nn, "sys": sys}


def mine(kind, body, method=FORWARD, base=None):
    """A learner's class: a part with one method of its own."""
    space = {**NAMES, "Base": base or BASES[kind], "calls": []}
    exec(f"class Mine(Base):\n  def {method}:\n    {body}", space)
    return {kind: space["Mine"]}


RIGHT = {
    "attention": "return super().forward(x)",
    "mlp": "return self.projection(gelu(x @ self.expand.weight.T + self.expand.bias))",
    "layer_norm": "return layer_norm(x, self.weight, self.bias, self.epsilon)",
    "block": "y = self.attention(self.ln_1(x)); return self.mlp(self.ln_2(x + y)) + y + x",
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_part_in_another_style_has_the_same_logits_and_the_same_curve(capsys, kind):
    figure, out = said(capsys, **mine(kind, RIGHT[kind]))
    assert out.startswith("✓ swap: Mine does what")
    assert out.count(": 0.0000\n") == 4  # three shapes, and the curves
    assert "the logits before it stay the same" in out
    ours, yours = (line.split()[2:] for line in out.splitlines()[-3:-1])
    assert ours == yours and float(ours[0]) > float(ours[-1]) + 0.5
    assert isinstance(figure, Figure) and len(figure.axes[0].lines) == 2


WEIGHTS = "weights(self, scores)"
NO_SCALE = "return super().weights(scores * self.projection.weight.shape[0] ** 0.5)"
NO_EPSILON = "return layer_norm(x, self.weight, self.bias, 0)"
ERF = "super().__init__(config); self.gelu = nn.GELU()"  # off by 5e-4 at most
CUT_OFF = "x = x + self.attention(self.ln_1(x)).detach(); return x + self.mlp(self.ln_2(x))"


@pytest.mark.parametrize(
    ("part", "equal_shapes", "future"),
    [
        (mine("attention", "return scores.softmax(dim=-1)", WEIGHTS), 1, "change too"),
        (mine("attention", NO_SCALE, WEIGHTS), 1, "stay the same"),
        (mine("layer_norm", NO_EPSILON), 1, "stay the same"),
        (mine("mlp", ERF, INIT), 0, "stay the same"),
        (mine("block", CUT_OFF), 3, "stay the same"),  # the logits are right, it never learns
    ],
)
def test_a_part_that_differs_is_rejected_and_still_trained(capsys, part, equal_shapes, future):
    figure, out = said(capsys, **part)
    assert out.startswith("✗ swap: Mine does not do what") and isinstance(figure, Figure)
    assert f"the logits before it {future}" in out and out.count(": 0.0000\n") == equal_shapes
    furthest = next(line for line in out.splitlines() if "of the losses" in line)
    assert float(furthest.split()[-1]) > 0
    assert ("is a gradient cut off" in out) == (equal_shapes == 3)


NOTHING_SEEN = (
    "return scores.masked_fill(torch.ones_like(scores).triu() > 0, -torch.inf).softmax(-1)"
)
NO_QKV = "super().__init__(); self.query = nn.Linear(config.width, config.width)"
ONE_MORE = "super().__init__(config); self.gate = nn.Linear(1, 1)"
THREE_TIMES = "super().__init__(config); self.expand = nn.Linear(config.width, 3 * config.width)"
LAZY = "super().__init__(); self.expand = nn.LazyLinear(4 * config.width)"
IN_PLACE = "x += self.attention(self.ln_1(x)); return x + self.mlp(self.ln_2(x))"
THRICE = "calls.append(x); return super().forward(x) if len(calls) < 4 else sys.exit('enough')"
IN_TRAINING = "return x if self.training and x.view('only') else super().forward(x)"
GROWS = "return super().forward(x) * (torch.inf if self.training else 1)"
FAILS = mine("attention", "\n    return x @ x")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "came nothing: give one of attention=, mlp=, layer_norm=, block="),
        ({"mlp": MLP, "block": Block}, "came mlp=, block=: give one of"),
        ({"atention": Attention}, "came atention=: give one of"),
        ({"mlp": LayerNorm(3)}, "mlp= came LayerNorm: give the name of your class"),
        ({"mlp": gelu}, "mlp= came function: give the name of your class"),
        ({"mlp": int}, "mlp= came the class int: give the name of your class, an nn.Module"),
        (mine("attention", "return x[:, -1]"), "expected shape (2, 9, 12), came (2, 12)"),
        (mine("attention", NOTHING_SEEN, WEIGHTS), "of 216 numbers that came are NaN or infinite"),
        (FAILS, "RuntimeError in line 4 of your cell, for an input of (2, 9, 12): Expected size"),
        (
            mine("mlp", "self.expand(x)"),
            "expected a tensor of shape (2, 9, 12), came None (is the return missing?)",
        ),
        (
            mine("attention", NO_QKV, INIT, nn.Module),
            "the parameter qkv.weight of CausalSelfAttention is missing: yours are query.weight,",
        ),
        (mine("mlp", ONE_MORE, INIT), "MLP has no parameter gate.weight: its own are expand."),
        (
            mine("mlp", THREE_TIMES, INIT),
            "the parameter expand.weight: expected shape (48, 12), came (36, 12)",
        ),
        (mine("block", IN_PLACE), "it writes into its input"),
        (mine("block", "pass", "__init__(self)"), "TypeError, when it is made: Mine.__init__() "),
        (mine("mlp", "return x.half()"), "expected torch.float32, came torch.float16"),
        (mine("mlp", "return (x > 0) @ self.expand.weight.T.bool()"), "not implemented for 'Bool'"),
        (mine("mlp", IN_TRAINING), "in line 3 of your cell, while training: "),
        (mine("mlp", THRICE), "of your cell, inside the model: enough"),
        (mine("mlp", "pass", INIT, nn.Module), "AttributeError, inside the model: 'Mine' object"),
        (mine("mlp", LAZY, INIT, nn.Module), "inside the model: "),
        (mine("mlp", GROWS), "the loss of step 1 is nan"),
    ],
)
def test_a_wrong_call_or_a_part_that_cannot_go_on_is_named_in_one_line(capsys, parts, sentence):
    figure, out = said(capsys, **parts)
    assert figure is None
    assert out.startswith("✗ swap: ") and sentence in out and out.count("\n") == 1


@pytest.mark.parametrize("method", [FORWARD, INIT])
def test_a_stub_is_not_done_yet(capsys, method):
    part = mine("attention", "raise NotImplementedError('not done yet')", method)
    assert said(capsys, **part) == (None, "· swap: not done yet\n")


DRAWS = mine("attention", "return super().forward(x) + torch.rand_like(x)")


@pytest.mark.parametrize("part", [DRAWS, FAILS])
def test_nothing_outside_is_changed_and_what_was_drawn_outside_changes_nothing(capsys, part):
    torch.manual_seed(7)
    before, forward = torch.random.get_rng_state(), CausalSelfAttention.forward
    with torch.no_grad():
        out = said(capsys, **part)[1]
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert CausalSelfAttention.forward is forward
    torch.rand(1)
    assert said(capsys, **part)[1] == out
