"""A table of tokens with spare rows: round in size, and otherwise the model without them."""

import math

import pytest
import torch
from checkpoints import save, trained
from damage import rewrite
from hypothesis import given
from hypothesis import strategies as st
from small_run import TINY, TOKENIZER, TRAIN, VALIDATION
from torch.nn import functional as F

from gptlib.config import MODELS, GPTConfig, TrainingConfig, padded_size
from gptlib.data.dataset import TokenDataset
from gptlib.errors import CheckpointError, TokenOutOfRange
from gptlib.generation import generate
from gptlib.model import GPT, count_parameters
from gptlib.training.checkpoint import load_checkpoint, load_model, restore_checkpoint
from gptlib.training.metrics import curve
from gptlib.training.optimizer import make_optimizer
from gptlib.training.step import training_step
from gptlib.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

V = 53
PLAIN = GPTConfig(vocab_size=V, context_length=16, n_layers=2, n_heads=2, width=12, dropout=0.0)
PADDED = GPTConfig.from_dict({**PLAIN.to_dict(), "vocab_multiple": 64})
TABLE = "token_embedding.weight"


def twins(spare=0.5):
    """A model without spare rows, and one with them and otherwise the same numbers."""
    plain, padded = GPT(PLAIN, seed=0).double(), GPT(PADDED, seed=1).double()
    numbers = dict(plain.state_dict())
    rows = torch.full((64 - V, PLAIN.width), spare, dtype=torch.float64)
    padded.load_state_dict({**numbers, TABLE: torch.cat([numbers[TABLE], rows])})
    return plain, padded


def windows(B=3, seed=0):
    ids = torch.randint(V, (B, 17), generator=torch.Generator().manual_seed(seed))
    return ids[:, :-1].clone(), ids[:, 1:].clone()


# --- the size ------------------------------------------------------------------------------


def test_round_sizes_of_the_vocabularies_of_the_course():
    assert padded_size(50_257) == padded_size(50_257, 64) == 50_304
    assert padded_size(10_000, 256) == padded_size(10_240, 256) == 10_240
    assert padded_size(10_000) == 10_112 and padded_size(25_000) == 25_088
    with torch.device("meta"):
        assert len(GPT(GPTConfig(vocab_multiple=128)).token_embedding.weight) == 50_304
        assert len(GPT(MODELS["algerian"]).token_embedding.weight) == 10_240
    assert MODELS["algerian"].vocab_size == 10_000


@given(st.integers(1, 10**6), st.integers(1, 5_000))
def test_the_round_size_is_the_least_multiple(size, multiple):
    found = padded_size(size, multiple)
    assert found % multiple == 0 and size <= found < size + multiple


def test_no_spare_rows_unless_asked_for():
    for name, config in MODELS.items():
        assert config.vocab_multiple == 1 or name == "algerian"
    model = GPT(PLAIN)
    assert model.token_embedding.weight.shape == (V, 12)
    assert (
        model.lm_head_weight is model.token_embedding.weight
    )  # a slice of all would copy its gradient


def test_spare_rows_are_counted_and_nothing_else_changes():
    assert count_parameters(GPTConfig(vocab_multiple=128))["total"] == 124_439_808 + 47 * 768
    assert GPT(PADDED).n_parameters() == count_parameters(PADDED)["total"]
    plain, padded = count_parameters(PLAIN), count_parameters(PADDED)
    assert padded["token embedding"] == 64 * 12
    assert {part for part in plain if plain[part] != padded[part]} == {"token embedding", "total"}


# --- the same model ------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [0.5, 1e9, math.nan])
def test_logits_loss_and_gradients_are_those_without_spare_rows(spare):
    """Whatever stands in the spare rows, even NaN, is neither read nor changed."""
    x, y = windows()
    for loss_of in (GPT.forward, lambda m, x, y: F.cross_entropy(m(x).mT, y)):
        plain, padded = twins(spare)
        assert padded(x).shape == (3, 16, V)
        assert torch.equal(plain(x), padded(x))
        logits = plain.hidden_states(x) @ plain.token_embedding.weight.T
        expected, loss = F.cross_entropy(logits.mT, y), loss_of(padded, x, y)
        torch.testing.assert_close(loss, expected)
        expected.backward()
        loss.backward()
        for (name, p), q in zip(plain.named_parameters(), padded.parameters(), strict=True):
            torch.testing.assert_close(q.grad[:V] if name == TABLE else q.grad, p.grad)
        assert padded.token_embedding.weight.grad[V:].count_nonzero() == 0


def test_steps_of_training_are_those_without_spare_rows():
    plain, padded = twins()
    config = TrainingConfig(weight_decay=0.1)
    optimizers = [make_optimizer(model, config) for model in (plain, padded)]
    for seed in range(4):
        rows = [
            training_step(model, optimizer, [windows(seed=seed)], 1e-2, 0.5)
            for model, optimizer in zip((plain, padded), optimizers, strict=True)
        ]
        assert rows[0] == pytest.approx(rows[1])  # loss and gradient norms
    for (name, p), q in zip(plain.named_parameters(), padded.named_parameters(), strict=True):
        torch.testing.assert_close(q[1][:V] if name == TABLE else q[1], p)
    spare = padded.token_embedding.weight[V:]  # nothing but weight decay has touched them
    torch.testing.assert_close(spare, torch.full_like(spare, 0.5 * (1 - 1e-2 * 0.1) ** 4))


# --- never sampled, never read, never a target ---------------------------------------------


def test_a_padding_id_is_never_sampled():
    """Five tokens and 123 spare rows, all nearly as likely for an untrained model."""
    config = GPTConfig(5, 16, n_layers=1, n_heads=1, width=8, dropout=0.0, vocab_multiple=128)
    model = GPT(config, seed=0)
    drawn = generate(model, [1], 20, n_sequences=250, temperature=100.0, top_k=None, seed=0)
    counts = torch.bincount(torch.tensor(drawn)[:, 1:].flatten())
    assert counts.sum() == 5_000 and len(counts) == 5
    assert (counts > 850).all()  # 1,000 each, where every token is as likely
    for settings in ({"top_k": 99}, {"top_p": 1.0}, {"temperature": 0}):
        assert max(generate(model, [1], 40, n_sequences=9, seed=1, **settings)[0]) < 5


@pytest.mark.parametrize("spare_id", [V, V + 1, 63, 64])
def test_padding_ids_are_refused_as_input_prompt_and_target(spare_id):
    _, padded = twins()
    x, y = windows()
    said = f"token id {spare_id} is outside the vocabulary of {V}"
    with pytest.raises(TokenOutOfRange, match=said):
        padded(torch.tensor([[1, spare_id]]))
    with pytest.raises(TokenOutOfRange, match=said):
        generate(padded, [1, spare_id], 1)
    y[1, 2] = spare_id
    data = TokenDataset([*range(8), spare_id], 8)
    with pytest.raises(TokenOutOfRange, match=said):
        Trainer(padded, data, data, TrainingConfig(steps=1))
    with pytest.raises(RuntimeError, match="index"):
        padded(x, y)


# --- kept runs -----------------------------------------------------------------------------


def test_a_padded_model_is_kept_with_its_spare_rows(tmp_path):
    config = GPTConfig.from_dict({**TINY.to_dict(), "vocab_multiple": 64})
    model = GPT(config, seed=1)
    settings = TrainingConfig(steps=2, batch_size=4, warmup_steps=1, evaluate_every=2)
    Trainer(model, TRAIN, VALIDATION, settings, tmp_path / "run", TOKENIZER).train()
    loaded, tokenizer = load_model(tmp_path / "run")
    assert loaded.config == config and loaded.token_embedding.num_embeddings == 64
    assert tokenizer is not None and tokenizer.vocab_size == TINY.vocab_size
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True)
    )


def test_spare_rows_are_not_added_to_a_checkpoint_in_silence(tmp_path):
    folder = save(tmp_path)
    shape = load_checkpoint(folder).state["model"]
    other = trained(config=GPTConfig.from_dict({**shape, "vocab_multiple": 64}))
    with pytest.raises(CheckpointError, match=r"token_embedding.weight is \(5, 4\)"):
        restore_checkpoint(load_checkpoint(folder), *other)


def test_a_checkpoint_from_before_spare_rows_loads_and_goes_on(tmp_path):
    settings = TrainingConfig(steps=4, batch_size=4, warmup_steps=1, evaluate_every=2)

    def trainer(place) -> Trainer:
        return Trainer(GPT(TINY, seed=1), TRAIN, VALIDATION, settings, place, TOKENIZER)

    expected = trainer(None).train()
    trainer(tmp_path / "run").train(until=2)
    (folder,) = (tmp_path / "run" / "checkpoints").iterdir()
    rewrite(folder / "state.json", lambda state: state["model"].pop("vocab_multiple"))
    assert load_model(tmp_path / "run")[0].config == TINY
    rows = trainer(tmp_path / "run").train(resume=True)
    assert curve(rows, "loss") == curve(expected, "loss")
