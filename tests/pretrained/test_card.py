"""The model card: every number is the run's, every name is shown as it is, no path is told."""

import html
import re

import mistune
import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import CORPORA
from gptlib.data.prepare import prepare
from gptlib.pretrained.export import model_card
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer
from gptlib.training.metrics import Row

CONFIG = GPTConfig(300, 32, n_layers=2, n_heads=4, width=16, vocab_multiple=256, qkv_bias=False)


def rows(corpus="sample-darija", validate=5, lowest=20):
    """The metrics of 40 steps; the validation loss is lowest at one of them."""
    about = {
        "training": TrainingConfig(learning_rate=3e-4, min_learning_rate=3e-5).to_dict(),
        "corpus": corpus and {"name": corpus, "fingerprint": "f" * 64},
        "environment": {"torch": "2.13.0+cpu", "device": "Tesla T4", "processes": 2},
    }
    found: list[Row] = [about]
    for step in range(41):
        if step % validate == 0:
            found.append({"step": step, "validation_loss": 4 + abs(step - lowest) / 100})
        if step < 40:
            found.append({"step": step, "loss": 5 - step / 100, "tokens": 256 * (step + 1)})
    return found


def card_of(**changes):
    known = {"title": "small", "config": CONFIG, "n_parameters": 12_345, "tokenizer": "bpe-300"}
    return model_card(**{**known, "step": 40, "rows": rows(), "figure": "loss.png", **changes})


def seen(card):
    """What a reader sees of it: rendered, without the marks."""
    body = re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL)
    rendered = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])(body)
    assert isinstance(rendered, str)
    return html.unescape(re.sub(r"<[^>]*>", "", rendered))


def test_the_losses_in_the_table_are_the_runs():
    table = re.findall(r"\| ([\d,]+) \| ([\d.–]+) \| ([\d.–]+) \|", card_of())
    assert [int(step) for step, *_ in table] == [0, 5, 10, 15, 20, 25, 30, 40]
    for step, training, validation in table:
        assert training == ("–" if step == "40" else f"{5 - int(step) / 100:.4f}")
        assert validation == f"{4 + abs(int(step) - 20) / 100:.4f}"


def test_data_license_settings_shape_and_limits_are_told():
    card = seen(card_of())
    for words in (
        *("12,345 parameters", "for 40 steps on sample-darija", "written for this course", "MIT"),
        *("f" * 64, "32 tokens at most, those", "300 tokens (bpe-300)", "212 spare rows"),
        *("trained without them", "10,240", "0.0003", "3e-05", "Tesla T4", "2.13.0+cpu"),
        *("names no license for the weights", "not on any task", "follows no instructions"),
        "Lowest validation loss: 4.0000 at step 20; these are the weights of step 40.",
    ):
        assert words in card, words
    assert "max_new_tokens=28" in card  # of the 32, "Once" may take 4
    assert "sample_every" not in card and "seed" in card  # what decides nothing is left out
    assert "memorizes" in card and "memorizes" not in seen(card_of(rows=rows(lowest=40)))


@pytest.mark.parametrize("name", [spec.name for spec in CORPORA.values() if spec.repository])
def test_a_text_of_the_hub_brings_its_license_and_its_page(name):
    card = card_of(rows=rows(name))
    assert CORPORA[name].license in seen(card)
    head = ModelCard(card, ignore_metadata_errors=False).data
    assert head.datasets == [CORPORA[name].repository] and head.license is None
    assert head.pipeline_tag == "text-generation" and head.library_name == "transformers"


def test_a_prepared_folder_is_named_by_its_text(tmp_path):
    documents = [f"wesh rak {number}" for number in range(200)]
    place = tmp_path / "secret-place"
    tokenizer = BPETokenizer.train(documents, 270, [END_OF_TEXT], fast=True)
    prepare(documents, place, tokenizer, source="darija: somewhere in /home/someone (CC)")
    card = card_of(rows=rows(str(place)))
    assert "for 40 steps on darija." in seen(card) and "CC BY 4.0" in seen(card)
    assert "/home" not in card and str(tmp_path) not in card and "secret" not in card


@pytest.mark.parametrize("corpus", ["/home/someone/private/letters", "letters", "../letters"])
def test_an_own_text_is_named_without_its_place(corpus):
    card = card_of(rows=rows(corpus))
    assert "on letters." in seen(card) and "not known here: fill it in" in seen(card)
    assert "private" not in card.replace("private details", "")


def test_what_a_run_does_not_know_is_not_pretended():
    card = card_of(step=7, rows=[], figure=None, tokenizer=None)
    words = seen(card)
    assert "trained for 7 steps" in words and "without a tokenizer" in words
    assert "Not known here." in words and "Nothing is known here of how it does" in words
    assert "## Training\n" not in card and "## Curves" not in card and "loss.png" not in card
    card = card_of(rows=[row for row in rows() if "validation_loss" not in row])
    assert "Nothing is known here of how it does" in seen(card)
    assert "in nats per token, training losses of the batch" in seen(card)
    assert len(re.findall(r"\| [\d,]+ \| [\d.]+ \| – \|", card)) == 8
    started = [{**rows()[0], "began_with": "a_model"}, *rows()[1:]]
    assert "trained from the weights of a_model for 40" in seen(card_of(rows=started))


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), max_codepoint=0x7FF), max_size=30),
    st.sampled_from(
        ["", "|", "`", "*a*", "_a_", "<b>", "[x](y)", "# ", "~~a~~", "\\", "&lt;", "- "]
    ),
)
def test_any_name_is_shown_as_it_is(words, sign):
    name = f"x{sign}{words}{sign}y".replace("/", "")
    shown = " ".join(name.split())
    card = card_of(title=name, rows=rows(name))
    assert f"for 40 steps on {shown}." in seen(card)
    assert seen(card).count(shown) >= 3  # title, summary, table
