"""Prompts, special tokens and the masked loss: what is read, what teaches, what is answered."""

import json
import math

import pytest
import torch
from small_world import QUESTIONS
from torch.nn import functional as F
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig
from gptlib.errors import ConfigError, CorpusError, PromptError, TokenizerError
from gptlib.finetuning import (
    ANSWER,
    CHAT_TOKENS,
    END,
    IGNORED,
    PAD,
    QUESTION,
    START,
    AnsweringGPT,
    Example,
    ExampleDataset,
    add_special_tokens,
    answer,
    answer_dataset,
    encode_example,
    examples,
    pack_rows,
    read_rows,
    shift,
)
from gptlib.generation import generate
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer, load_tokenizer

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": "Oran"},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "Lina"},
]


class TestSpecialTokens:
    def test_each_is_one_id_after_the_old_ones(self, chat, plain_tokenizer):
        _, tokenizer = chat
        first = plain_tokenizer.vocab_size
        for number, token in enumerate(CHAT_TOKENS):
            assert tokenizer.encode(token, allow_special=True) == [first + number]
            assert first + number not in tokenizer.encode(f"a{token}b")  # a stranger's text
        assert tokenizer.end_of_text == plain_tokenizer.end_of_text
        text = "Lina lives in Oran."
        assert tokenizer.encode(text) == plain_tokenizer.encode(text)

    def test_they_survive_saving_the_tokenizer(self, chat, tmp_path):
        chat[1].save(tmp_path)
        loaded = load_tokenizer(tmp_path)
        assert loaded.special_tokens == chat[1].special_tokens
        assert loaded.fingerprint == chat[1].fingerprint

    @pytest.mark.parametrize("multiple", [1, 64])  # 64: the table has spare rows already
    def test_rows_that_stood_before_are_bit_identical(self, plain_tokenizer, multiple, ids):
        V = plain_tokenizer.vocab_size
        shape = {"context_length": 12, "n_layers": 1, "n_heads": 1, "width": 8, "dropout": 0.0}
        old = GPT(GPTConfig(V, **shape, vocab_multiple=multiple), seed=3)
        before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
        new, _ = add_special_tokens(old, plain_tokenizer)
        for name, tensor in new.state_dict().items():
            rows = V if name == "token_embedding.weight" else None
            assert torch.equal(tensor[:rows], before[name][:rows]), name
        assert all(torch.equal(old.state_dict()[name], before[name]) for name in before)
        assert torch.equal(new(ids)[..., :V], old(ids))
        assert all(parameter.requires_grad for parameter in new.parameters())

    def test_they_are_not_sampled_before_training(self, base, plain_tokenizer):
        """All logits lie far below 0, as GPT-2's do: a row near 0 would be drawn every time."""
        first = plain_tokenizer.vocab_size
        with torch.no_grad():
            base.token_embedding.weight.mul_(40).sub_(3)
            base.ln_final.bias.fill_(3)
        model, _ = add_special_tokens(base, plain_tokenizer)
        assert model(torch.tensor([[1]]))[..., :first].max() < -100
        drawn = [i for seed in range(20) for i in generate(model, [seed], 40, seed=seed)[0]]
        assert max(drawn) < first

    def test_a_token_that_is_there_or_no_bpe_is_refused(self, chat, base):
        with pytest.raises(TokenizerError, match="add each special token once"):
            add_special_tokens(*chat)
        with pytest.raises(TokenizerError, match="give a BPE tokenizer"):
            add_special_tokens(base, CharacterTokenizer("abc"))


class TestPrompts:
    @pytest.mark.parametrize(
        ("kind", "row", "expected"),
        [
            ("question", {"context": "a b", "question": "c", "answer": "d"}, ("a b", [("c", "d")])),
            ("instruction", {"instruction": "Say a", "output": "a"}, ("", [("Say a", "a")])),
            ("instruction", {"input": "1", "instruction": "a", "output": "2"}, ("1", [("a", "2")])),
            ("chat", {"messages": CHAT}, ("Be kind.", [("Where?", "Oran"), ("Who?", "Lina")])),
        ],
    )  # fmt: skip
    def test_every_format_has_one_shape(self, kind, row, expected):
        assert examples([row], kind) == [Example(*expected)]

    def test_answers_and_their_ends_teach_and_nothing_else(self, chat):
        _, tokenizer = chat
        special, encode = tokenizer.special_tokens, tokenizer.encode
        (example,) = examples([{"messages": CHAT}], "chat")
        ids, teaches = encode_example(tokenizer, example)
        asked, told = [special[QUESTION], *encode("Where?"), special[ANSWER]], encode("Oran")
        first = [special[START], *encode("Be kind."), *asked]
        assert ids[: len(first) + len(told) + 1] == [*first, *told, special[END]]
        assert teaches[: len(first)] == [False] * len(first)
        learned = [i for i, taught in zip(ids, teaches, strict=True) if taught]
        assert learned == [*told, special[END], *encode("Lina"), special[END]]

    def test_a_special_token_in_a_strangers_text_stays_text(self, chat):
        special = chat[1].special_tokens
        ids, _ = encode_example(chat[1], Example(END, [(END, END)]))
        assert [i for i in ids if i in special.values()] == [
            special[token] for token in (START, QUESTION, ANSWER, END)
        ]

    def test_a_target_is_the_next_token_and_the_shift_is_done_once(self):
        ids, teaches = [7, 8, 9, 5], [False, False, True, True]
        assert shift(ids, teaches) == ([7, 8, 9], [IGNORED, 9, 5])

    def test_padding_stands_at_the_end_and_changes_nothing(self, chat):
        model, tokenizer = chat
        model = AnsweringGPT(model)
        found = examples(QUESTIONS, "question")
        x, y = answer_dataset(tokenizer, found, 48)[:]
        for example, ids, targets in zip(found, x, y, strict=True):
            alone = shift(*encode_example(tokenizer, example))
            n = len(alone[0])
            assert (ids[:n].tolist(), targets[:n].tolist()) == alone
            assert set(ids[n:].tolist()) <= {tokenizer.special_tokens[PAD]}
            assert set(targets[n:].tolist()) <= {IGNORED}
            alone = model(*(torch.tensor([part]) for part in alone))
            torch.testing.assert_close(model(ids[None], targets[None]), alone)

    def test_packing_keeps_every_target(self, chat):
        _, tokenizer = chat
        found = examples([{"messages": CHAT}] * 3 + [{"messages": CHAT[:3]}] * 2, "chat")
        rows = [shift(*encode_example(tokenizer, example)) for example in found]
        packed = pack_rows(rows, 48)
        assert len(packed) < len(rows) and max(len(ids) for ids, _ in packed) <= 48
        kept, before = ([t for _, y in part for t in y] for part in (packed, rows))
        assert sorted(kept) == sorted(before)
        for ids, targets in packed:  # each id still stands before its own target
            pairs = [(i, t) for i, t in zip(ids[1:], targets, strict=False) if t != IGNORED]
            ends = tokenizer.special_tokens[END]
            assert all(i == t for i, t in pairs if t != ends)
        data = answer_dataset(tokenizer, found, 48, packed=True)
        assert data[:][0].shape == (len(packed), max(len(ids) for ids, _ in packed))


class TestMaskedLoss:
    @pytest.mark.parametrize("taught", [1, 7, 40])
    def test_it_is_that_of_transformers(self, taught):
        config = GPTConfig(vocab_size=90, context_length=16, n_layers=2, n_heads=2, width=16)
        ours, theirs = twins(config, 0.3, torch.float64)
        ids = random_ids(config, B=3, T=16)
        order = torch.randperm(45, generator=torch.Generator().manual_seed(taught))
        labels = torch.full((3, 16), IGNORED)
        for place in order[:taught].tolist():
            labels[place // 15, 1 + place % 15] = ids[place // 15, 1 + place % 15]
        loss = AnsweringGPT(ours)(ids[:, :-1], labels[:, 1:])
        of_labels = theirs(ids, labels=labels)
        logits = of_labels.logits[:, :-1].transpose(1, 2)  # their own loss is in float32
        expected = F.cross_entropy(logits, labels[:, 1:], ignore_index=IGNORED)
        torch.testing.assert_close(loss.float(), of_labels.loss, rtol=1e-6, atol=0)
        torch.testing.assert_close(loss, expected, rtol=1e-8, atol=0)
        loss.backward(), expected.backward()
        grad = theirs.transformer.wte.weight.grad
        torch.testing.assert_close(ours.token_embedding.weight.grad, grad, rtol=1e-8, atol=1e-12)

    def test_the_answer_alone_counts_by_hand(self, chat):
        model, _ = chat
        x = torch.tensor([[1, 2, 3, 4]])
        y = torch.tensor([[IGNORED, 3, IGNORED, 5]])
        log_p = F.log_softmax(model(x)[0], dim=-1)
        by_hand = -(log_p[1, 3] + log_p[3, 5]) / 2
        torch.testing.assert_close(AnsweringGPT(model)(x, y), by_hand)
        assert abs(by_hand.item() - math.log(model.config.vocab_size)) < 0.5

    def test_nothing_to_learn_is_refused(self, base, ids):
        with pytest.raises(PromptError, match="all 36 targets are -100: give an answer"):
            AnsweringGPT(base)(ids, torch.full_like(ids, IGNORED))


class TestAnswers:
    def test_it_stops_at_the_end_token(self, chat, monkeypatch):
        model, tokenizer = chat
        written = [*tokenizer.encode("Oran"), tokenizer.special_tokens[END], 1, 1]
        prompts = []

        steps = iter(written)

        def hidden(ids):
            prompts.append(ids[0].tolist())
            return F.one_hot(torch.tensor([[next(steps)]]), model.config.vocab_size).float()

        monkeypatch.setattr("gptlib.finetuning.CachedGPT", lambda model: model)
        monkeypatch.setattr(model, "hidden_states", hidden)
        monkeypatch.setattr(model, "logits", lambda hidden: hidden)
        asked = Example("Lina lives in Oran.", [("Where does Lina live?", "")])
        assert answer(model, tokenizer, asked) == "Oran"
        assert prompts[0] == encode_example(tokenizer, asked)[0]
        assert prompts[0][-1] == tokenizer.special_tokens[ANSWER]

    def test_a_prompt_that_leaves_no_room_is_refused(self, chat):
        asked = Example("Lina lives in Oran. " * 9, [("Where?", "")])
        with pytest.raises(CorpusError, match=r"the prompt .* context is 48: shorten it"):
            answer(*chat, asked)


BAD = [
    ("question", [{"context": "a", "question": "b"}], "example 1 has no 'answer'"),
    ("question", [{"question": "b", "answer": "c"}], "example 1 has no 'context'"),
    ("question", [QUESTIONS[0], QUESTIONS[0]], "examples 1 and 2 have one id, 'q0'"),
    ("instruction", [{"instruction": " ", "output": "a"}], "instruction is ' ': give it a text"),
    ("instruction", [{"instruction": 3, "output": "a"}], "instruction is 3: give it a text"),
    ("instruction", [{"instruction": "a", "output": "a", "input": 3}], "input is 3"),
    ("chat", [{"messages": []}], "messages is .*: give it a list"),
    ("chat", [{"messages": CHAT[:2]}], r"roles are \['user'\]"),
    ("chat", [{"messages": CHAT[:1]}], r"roles are \[\]"),
    ("chat", [{"messages": [{"role": "user"}]}], "has no 'content'"),
    ("chat", [{"messages": ["hello"]}], "example 1 is 'hello'"),
    ("instruction", [], "there is no example"),
    ("chat", [{"id": 1, "messages": CHAT}] * 2, "examples 1 and 2 have one id, 1"),
]


@pytest.mark.parametrize(("kind", "rows", "message"), BAD)
def test_bad_examples_are_one_clear_line(kind, rows, message):
    with pytest.raises(CorpusError, match=message) as told:
        examples(rows, kind)
    assert "\n" not in str(told.value)


def test_an_example_longer_than_the_context_is_refused(chat):
    (example,) = examples([{"instruction": "a" * 99, "output": "b"}], "instruction")
    with pytest.raises(CorpusError, match=r"example 1 has \d+ tokens but .* context is 48"):
        answer_dataset(chat[1], [example], 48)


def test_an_unknown_format_and_no_rows_are_refused():
    with pytest.raises(ConfigError, match=r"unknown format 'chats'.*did you mean 'chat'"):
        examples([], "chats")
    with pytest.raises(ConfigError, match="give both the same shape"):
        ExampleDataset(torch.zeros(2, 3), torch.zeros(2, 4))


def test_a_file_of_rows_is_read_and_a_bad_line_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in QUESTIONS))
    assert read_rows(path) == QUESTIONS
    for bad in ("{", "[1, 2]", "3"):
        path.write_text(f'{{"a": "b"}}\n{bad}\n')
        with pytest.raises(CorpusError, match="line 2 is no JSON object"):
            read_rows(path)
    with pytest.raises(CorpusError, match="No such file"):
        read_rows(tmp_path / "none.jsonl")
