"""A classifier reads the last real token; what judges it counts right."""

import re

import pytest
import torch
from small_world import ROWS
from torch.nn import functional as F
from transformers import GPT2ForSequenceClassification
from transformers_twin import random_ids, transformers_config, twins

from gptlib.classification import (
    BagOfWords,
    GPTClassifier,
    accuracy,
    classify,
    confusion,
    exact_match,
    f1,
    label_dataset,
)
from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, CorpusError
from gptlib.finetuning import IGNORED, PAD

LABELS = ["place", "job"]


class TestLogits:
    def test_they_are_those_of_transformers_at_the_last_real_token(self):
        config = GPTConfig(vocab_size=90, context_length=16, n_layers=2, n_heads=2, width=16)
        base, theirs_base = twins(config, 0.3, torch.float64)
        ours = GPTClassifier(base, ["a", "b", "c"])
        theirs = GPT2ForSequenceClassification(transformers_config(config)).double().eval()
        shape = theirs.config
        shape.num_labels, shape.pad_token_id = 3, 89
        theirs.num_labels = 3
        theirs.score = torch.nn.Linear(16, 3, bias=False).double()
        theirs.transformer.load_state_dict(theirs_base.transformer.state_dict())
        theirs.score.weight.data.copy_(ours.score.weight)
        ids = random_ids(config, B=4, T=16).clamp(max=88)
        lengths = torch.tensor([16, 1, 5, 12])
        targets = torch.full((4, 16), IGNORED)
        for row, length in enumerate(lengths.tolist()):
            ids[row, length:] = 89
            targets[row, length - 1] = row % 3
        scores = ours(ids)[targets != IGNORED]  # (B, K)
        expected = theirs(ids, labels=torch.tensor([0, 1, 2, 0]))
        torch.testing.assert_close(scores, expected.logits, rtol=1e-8, atol=0)
        loss = F.cross_entropy(expected.logits, torch.tensor([0, 1, 2, 0]))
        torch.testing.assert_close(ours(ids, targets), loss, rtol=1e-8, atol=0)
        torch.testing.assert_close(loss.float(), expected.loss.float(), rtol=1e-6, atol=0)

    def test_padding_does_not_matter(self, chat):
        model, tokenizer = chat
        model = GPTClassifier(model, LABELS)
        texts = [row["text"] for row in ROWS] + ["Lina", "Lina lives in Oran. " * 4]
        assert classify(model, tokenizer, texts) == [
            classify(model, tokenizer, [text])[0] for text in texts
        ]

    @pytest.mark.parametrize(
        ("learns", "expected"),
        [
            ("head", {"score"}),
            ("last block", {"score", "ln_final", "blocks.1"}),
            ("everything", {*("score", "ln_final", "blocks.0", "blocks.1"),
                            *("token_embedding", "position_embedding")}),
        ],
    )  # fmt: skip
    def test_what_learns_is_what_was_asked_for(self, base, ids, learns, expected):
        model = GPTClassifier(base, LABELS, learns)
        targets = torch.full_like(ids, IGNORED)
        targets[:, -1] = 1
        model(ids, targets).backward()
        learned = [name for name, p in model.named_parameters() if p.grad is not None]
        assert {re.match(r"blocks\.\d|\w+", name)[0] for name in learned} == expected

    def test_bad_settings_are_refused(self, base):
        for labels in (["a"], ["a", "a"], []):
            with pytest.raises(ConfigError, match="give two or more, each once"):
                GPTClassifier(base, labels)
        with pytest.raises(ConfigError, match="use one of head, last block, everything"):
            GPTClassifier(base, LABELS, "most")


class TestRows:
    def test_the_label_stands_at_the_last_real_token(self, chat):
        _, tokenizer = chat
        x, y = label_dataset(tokenizer, ROWS, LABELS, 48)[:]
        for row, ids, targets in zip(ROWS, x, y, strict=True):
            n = len(tokenizer.encode(row["text"]))
            assert ids[:n].tolist() == tokenizer.encode(row["text"])
            assert targets[n - 1] == LABELS.index(row["label"])
            assert (targets != IGNORED).sum() == 1
            assert (ids[n:] == tokenizer.special_tokens[PAD]).all()

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"text": "Lina"}, "example 2 has no 'label'"),
            ({"text": "Lina", "label": "fruit"}, "label 'fruit' is not among 'place', 'job'"),
            ({"text": "  ", "label": "job"}, "example 2: text is '  '"),
            ({"text": "a" * 99, "label": "job"}, r"example 2 has \d+ tokens but .* 48: shorten"),
            ({"text": "Lina", "label": "job", "id": 7}, "examples 1 and 2 have one id, 7"),
        ],
    )
    def test_bad_rows_are_one_clear_line(self, plain_tokenizer, row, message):
        with pytest.raises(CorpusError, match=message) as told:
            label_dataset(plain_tokenizer, [{**ROWS[0], "id": "7"}, row], LABELS, 48)
        assert "\n" not in str(told.value)


class TestJudging:
    def test_confusion_and_accuracy_by_hand(self, base, plain_tokenizer, monkeypatch):
        model = GPTClassifier(base, LABELS)
        monkeypatch.setattr(  # says "job" to every text, and "place" where nobody asks
            model, "forward", lambda x: F.one_hot((x >= 0).long(), 2).float()
        )
        data = label_dataset(plain_tokenizer, ROWS[:7], LABELS, 48)
        counts = confusion(model, data, batch_size=3)  # 4 places, 3 jobs
        assert counts.tolist() == [[0, 4], [0, 3]]
        assert accuracy(counts) == 3 / 7

    def test_bag_of_words_by_hand(self):
        rows = [{"text": "Red, red fish", "label": "a"}, {"text": "blue bird", "label": "b"}]
        bag = BagOfWords(rows, ["a", "b"])
        # 4 words known; a: (2 + 1) / (3 + 4) for red; b: (0 + 1) / (2 + 4)
        difference = bag.log_probability("RED cat", "a") - bag.log_probability("red", "b")
        torch.testing.assert_close(difference, torch.tensor(18 / 7).log().item())
        assert [bag.classify(text) for text in ("red!", "a bird")] == ["a", "b"]

    def test_bag_of_words_counts_how_common_a_label_is(self):
        rows = [{"text": "x", "label": label} for label in "abb"]
        assert BagOfWords(rows, ["a", "b"]).classify("unheard of") == "b"

    @pytest.mark.parametrize(
        ("answer", "truth", "exact", "shared"),
        [
            ("Oran.", "oran", True, 1),
            ("she lives in Oran", "Oran", False, 0.4),  # precision 1/4, recall 1
            ("a a b", "a b b", False, 2 / 3),  # two shared, each counted once
            ("Mila", "Oran", False, 0),
            ("", "", True, 1),
            ("", "Oran", False, 0),
        ],
    )
    def test_exact_match_and_f1_by_hand(self, answer, truth, exact, shared):
        assert exact_match(answer, truth) is exact
        assert f1(answer, truth) == pytest.approx(shared)
