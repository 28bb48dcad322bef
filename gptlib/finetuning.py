"""From a model that continues texts to one that answers: which tokens are read, and which teach.

A fine-tuning example is read like any text. Only the tokens of its answers, and the end behind
each, have targets; wherever nothing shall be learned the target is −100 (`IGNORED`). The trainer
needs to know no more: inputs and targets come in pairs (B, T), as they do from a text's windows.

An example has one shape, whatever file it comes from::

    <|start|> context <|question|> question <|answer|> answer <|end|> <|question|> …

Sources: Ouyang et al. 2022, section 3 (learning from demonstrations); Raschka 2024, chapter 7.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gptlib.config import look_up
from gptlib.data.dataset import TokenDataset
from gptlib.data.readers import open_text
from gptlib.errors import ConfigError, CorpusError, PromptError, TokenizerError
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.loss import chunked_cross_entropy
from gptlib.model import GPT
from gptlib.tokenizer import BPETokenizer, Tokenizer

IGNORED = -100  # the target of a position that teaches nothing, as PyTorch's losses know it
CHAT_TOKENS = ("<|start|>", "<|question|>", "<|answer|>", "<|end|>", "<|pad|>")
START, QUESTION, ANSWER, END, PAD = CHAT_TOKENS
# The fields of a row in a .jsonl file; only ``input`` may be missing. Chats have
# "messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}, …]
FORMATS = {
    "question": ("context", "question", "answer"),
    "instruction": ("input", "instruction", "output"),
    "chat": ("messages",),
}
OPTIONAL = ("input",)
Row = Mapping[str, Any]
Pair = tuple[list[int], list[int]]  # inputs and targets of one example


class Example(NamedTuple):
    """What is asked and answered, in turn, about a context, which may be empty."""

    context: str
    turns: Sequence[tuple[str, str]]  # (question, answer)


class AnsweringGPT(GPT):
    """A model, taken over, whose loss is that of the targets that are not −100.

    Parameters keep their names: a run's checkpoint opens as any model's does.
    """

    def __init__(self, model: GPT) -> None:
        super(GPT, self).__init__()  # a module without parameters of its own
        self.config, self.training = model.config, model.training
        for name, part in model.named_children():
            self.add_module(name, part)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """See :meth:`GPT.forward`; the mean is over the N targets of `targets` (B, T) that teach.

        Raises:
            PromptError: no target teaches, so that there is no mean.
        """
        if targets is None:
            return super().forward(ids)  # (B, T, V)
        teaches = targets != IGNORED  # (B, T)
        if not teaches.any():
            raise PromptError(f"all {targets.numel()} targets are {IGNORED}: give an answer")
        hidden = self.hidden_states(ids)[teaches]  # (N, C)
        return chunked_cross_entropy(hidden, self.lm_head_weight, targets[teaches])


class ExampleDataset(TokenDataset):
    """Rows of ids and of targets, ready for the trainer; shuffled and resumed like windows.

    Args:
        ids: (N, T).
        targets: (N, T), −100 where nothing is learned.
    """

    def __init__(self, ids: Tensor, targets: Tensor) -> None:
        if not len(ids) or ids.shape != targets.shape:
            shapes = f"ids {tuple(ids.shape)} and targets {tuple(targets.shape)}"
            raise ConfigError(f"{shapes}: give both the same shape, of one example or more")
        self.ids, self.targets, self.context_length = ids, targets, ids.shape[1]
        self.starts = range(len(ids))  # of a row, its number

    def __getitem__(self, rows: int | slice | Iterable[int]) -> tuple[Tensor, Tensor]:
        """Inputs and targets of one row, (T,) each, or of several, (B, T) each."""
        if isinstance(rows, int | np.integer):
            x, y = self[[rows]]
            return x[0], y[0]
        rows = range(len(self))[rows] if isinstance(rows, slice) else rows
        places = torch.tensor([self.starts[row] for row in rows])  # (B,)
        return torch.as_tensor(self.ids)[places], self.targets[places]


def add_special_tokens(
    model: GPT, tokenizer: Tokenizer, tokens: Sequence[str] = CHAT_TOKENS, seed: int = 0
) -> tuple[GPT, BPETokenizer]:
    """A larger vocabulary: a new model and a new tokenizer; the old ones are as they were.

    All other parameters are copied, the rows of the old tokens bit for bit. A new row is drawn
    close to the mean of the old ones, so its logit is close to the mean of theirs, and what is
    likely stays likely: a row near 0 has logit 0, which beats all others where these lie at −100,
    as GPT-2's do. Source: Hewitt 2021, *Initializing New Word Embeddings*.

    Args:
        tokens: strings that no text is cut into by itself, in the order of their new ids.
        seed: of the new rows' small differences from the mean, a tenth of the old rows' own.

    Raises:
        TokenizerError: a token is there already, or the tokenizer is not a BPE tokenizer.
    """
    first, merges = tokenizer.vocab_size, getattr(tokenizer, "merges", None)
    if merges is None or model.config.vocab_size != first:
        raise TokenizerError(
            f"{tokenizer.name!r} of {first:,} tokens cannot grow with a model of "
            f"{model.config.vocab_size:,}: give a BPE tokenizer and the model made for it"
        )
    special = tokenizer.special_tokens
    if (twice := set(tokens) & set(special)) or len(set(tokens)) < len(tokens):
        raise TokenizerError(f"{sorted(twice) or [*tokens]}: add each special token once")
    ordinary = {t: i for i, t in enumerate(tokenizer.tokens) if i not in special.values()}
    added = {token: i for i, token in enumerate(tokens, first)}
    larger = BPETokenizer(ordinary, merges, special | added)
    larger.roles = dict(tokenizer.roles)
    grown = GPT(replace(model.config, vocab_size=larger.vocab_size), seed).to(model.lm_head_weight)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(tokens), model.config.width, generator=generator)  # (new, C)
    parameters, old = model.state_dict(), model.lm_head_weight.detach()  # (V, C)
    table = grown.token_embedding.weight.detach().clone()  # (V + new + spare, C)
    table[:first] = old
    table[first : larger.vocab_size] = old.mean(0) + 0.1 * old.std(0) * noise.to(old)
    grown.load_state_dict({**parameters, "token_embedding.weight": table})
    return grown.train(model.training), larger


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a .jsonl file, one a line; raises CorpusError with the line's number."""
    rows = []
    with open_text(Path(path)) as file:
        for number, line in enumerate(file, 1):
            try:
                rows.append({**json.loads(line)} if line.strip() else {})
            except (ValueError, TypeError) as error:
                raise CorpusError(
                    f"{path}, line {number} is no JSON object ({error}): write one a line"
                ) from error
    return [row for row in rows if row]


def check_rows(rows: Sequence[Row], fields: Sequence[str]) -> None:
    """Refuse rows without one of the fields, or with an empty one, and an ``id`` met before."""
    seen: dict[str, int] = {}
    if not rows:
        raise CorpusError("there is no example: give one or more")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise CorpusError(f"example {number} is {row!r}: give an object with {fields}")
        for field in fields:
            if field in OPTIONAL and not row.get(field):
                continue
            if field not in row:
                raise CorpusError(f"example {number} has no {field!r}: each needs {fields}")
            if not isinstance(row[field], str) or not row[field].strip():
                raise CorpusError(f"example {number}: {field} is {row[field]!r}: give it a text")
        if "id" in row and (first := seen.setdefault(str(row["id"]), number)) != number:
            raise CorpusError(f"examples {first} and {number} have one id, {row['id']!r}: drop one")


def examples(rows: Sequence[Row], kind: str) -> list[Example]:
    """Rows of one of the `FORMATS` in the one shape that all have; raises CorpusError."""
    names = look_up("format", kind, FORMATS)
    check_rows(rows, () if kind == "chat" else names)
    if kind == "chat":
        return [chat_example(row.get("messages"), number) for number, row in enumerate(rows, 1)]
    texts = [[(row.get(name) or "").strip() for name in names] for row in rows]
    return [Example(context, [(question, answer)]) for context, question, answer in texts]


def chat_example(messages: Any, number: int) -> Example:
    """A chat's messages: perhaps one of the system, then user and assistant in turn."""
    if not isinstance(messages, list) or not messages:
        raise CorpusError(f"example {number}: messages is {messages!r}: give it a list")
    check_rows(messages, ("role", "content"))
    roles, texts = ([message[key].strip() for message in messages] for key in ("role", "content"))
    has_context = roles[0] == "system"
    roles, turns = roles[has_context:], texts[has_context:]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        raise CorpusError(f"example {number}: roles are {roles}: user and assistant take turns")
    pairs = list(zip(turns[::2], turns[1::2], strict=True))
    return Example(texts[0] if has_context else "", pairs)


def encode_example(tokenizer: Tokenizer, example: Example) -> tuple[list[int], list[bool]]:
    """The ids of an example, and for each whether the model shall learn to write it.

    The texts are a stranger's: ``<|end|>`` within one of them stays text. After a last answer that
    is empty nothing follows: such an example is a prompt, see :func:`answer`.
    """
    special = tokenizer.special_tokens
    ids = [special[START], *tokenizer.encode(example.context)]
    teaches = [False] * len(ids)
    for question, answer in example.turns:
        asked = [special[QUESTION], *tokenizer.encode(question), special[ANSWER]]
        answered = [*tokenizer.encode(answer), special[END]] if answer else []
        ids += asked + answered
        teaches += [False] * len(asked) + [True] * len(answered)
    return ids, teaches


def shift(ids: Sequence[int], teaches: Sequence[bool]) -> Pair:
    """Inputs and targets, T − 1 each: the only place where a target moves one position ahead."""
    targets = [i if learned else IGNORED for i, learned in zip(ids, teaches, strict=True)]
    return list(ids[:-1]), targets[1:]


def pad_rows(rows: Sequence[Pair], pad: int) -> ExampleDataset:
    """Inputs and targets as rows of one length, filled up at the end, where nothing looks back."""
    T = max(len(ids) for ids, _ in rows)
    x = [ids + [pad] * (T - len(ids)) for ids, _ in rows]
    y = [targets + [IGNORED] * (T - len(targets)) for _, targets in rows]
    return ExampleDataset(torch.tensor(x), torch.tensor(y))  # (N, T) each


def pack_rows(rows: Sequence[Pair], T: int) -> list[Pair]:
    """Several short examples in one row of at most T: less padding, the same targets.

    In order, each into the first row that has room. It then sees the examples before it, as a
    document in a window of pretraining sees its neighbors; what it shall answer does not change.
    """
    packed: list[Pair] = []
    for ids, targets in rows:
        for filled, its_targets in packed:
            if len(filled) + len(ids) <= T:
                filled += ids
                its_targets += targets
                break
        else:
            packed.append((list(ids), list(targets)))
    return packed


def answer_dataset(
    tokenizer: Tokenizer, examples: Sequence[Example], context_length: int, packed: bool = False
) -> ExampleDataset:
    """Examples as the trainer reads them; CorpusError if one is longer than the context."""
    rows = []
    for number, example in enumerate(examples, 1):
        x, y = shift(*encode_example(tokenizer, example))
        check_length(len(x), context_length, f"example {number}")
        rows.append((x, y))
    pad = tokenizer.special_tokens[PAD]
    return pad_rows(pack_rows(rows, context_length) if packed else rows, pad)


def check_length(length: int, context_length: int, what: str) -> None:
    """Refuse what would have to be cut: the question at the end would be lost, or the answer."""
    if length > context_length:
        raise CorpusError(
            f"{what} has {length:,} tokens but the model's context is {context_length:,}: "
            f"shorten it, or leave it out"
        )


def answer(model: GPT, tokenizer: Tokenizer, example: Example, max_new_tokens: int = 50) -> str:
    """The model's answer to the last question of an example whose last answer is empty.

    It is greedy, the likeliest token each time, and stops at ``<|end|>``, or where the context is
    full. Raises CorpusError for a prompt that leaves no room in the context.
    """
    prompt, _ = encode_example(tokenizer, example)
    T, end = model.config.context_length, tokenizer.special_tokens[END]
    check_length(len(prompt) + 1, T, "the prompt with the first token of its answer")
    settings = {"temperature": 0, "end_of_text": end}
    (ids,) = generate(CachedGPT(model), prompt, min(T - len(prompt), max_new_tokens), **settings)
    written = ids[len(prompt) :]
    return tokenizer.decode(written[:-1] if written[-1] == end else written).strip()
