"""From logits to text: choose a token, append it, repeat. And how likely a text is.

Sources: top-k from Fan et al. 2018; top-p from Holtzman et al. 2020, section 3.1; the penalty on
repeated tokens from Keskar et al. 2019 (CTRL), section 4.1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.errors import ConfigError, PromptError
from gptlib.model import GPT, check_ids
from gptlib.tokenizer import Tokenizer, decode_stream


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one token id for each row: (B,). Raises ConfigError for a setting out of its range.

    Args:
        logits: (B, V), left unchanged.
        temperature: divides the logits; 0 takes the likeliest token (greedy).
        top_k: keep only the k likeliest tokens; more than V keeps all.
        top_p: keep the fewest likeliest tokens whose probabilities reach p, at least one.
        generator: the random stream; by default PyTorch's global one.
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)  # (B,)
    logits = logits.float() / temperature  # (B, V)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    probabilities = logits.softmax(dim=-1)  # (B, V)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)  # (B,)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but each row's k largest logits (B, V) to −∞."""
    kth = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < kth, float("-inf"))  # (B, V)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Set all but each row's fewest likeliest tokens whose probabilities reach p (B, V) to −∞.

    The rest are summed from the smallest up: added to a sum near 1 they would lose their digits.
    """
    ordered, order = logits.sort(dim=-1, descending=True)  # (B, V)
    probabilities = ordered.softmax(dim=-1)  # (B, V)
    tail = probabilities.flip(-1).cumsum(dim=-1).flip(-1)  # (B, V), each with all behind it
    dropped = tail < (1 - p) * (1 + 1e-6)  # float32 rounds: 0.1 + 0.1 counts as 1 − 0.8
    dropped[:, 0] = False  # the likeliest stays, however small p is
    ordered = ordered.masked_fill(dropped, float("-inf"))
    return torch.empty_like(logits).scatter(-1, order, ordered)  # (B, V)


def apply_repetition_penalty(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make the tokens (B, T) that the texts already hold less likely: logits (B, V), a new tensor.

    The penalty divides what is above 0 and multiplies what is below, once for each token; 1
    changes nothing.
    """
    if penalty == 1:
        return logits
    scores = logits.gather(-1, ids)  # (B, T)
    scores = torch.where(scores > 0, scores / penalty, scores * penalty)
    return logits.scatter(-1, ids, scores)  # (B, V)


def check_sampling(
    temperature: float, top_k: int | None, top_p: float | None, repetition_penalty: float = 1.0
) -> None:
    """Raise :class:`ConfigError` for a sampling setting outside its range."""
    # a smaller temperature would make the logits overflow: 1e-4 is as good as greedy already
    if temperature != 0 and not 1e-4 <= temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature}: use 0 (greedy), or 0.0001 and above")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}: keep at least 1 token, or leave it out")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"top_p is {top_p}: it must lie in (0, 1], or be left out")
    if not 1e-6 <= repetition_penalty <= 1e6:  # beyond, logits overflow
        raise ConfigError(
            f"repetition_penalty is {repetition_penalty}: use 1 (none), or above up to 1,000,000"
        )


def context_window(ids: Tensor, context_length: int) -> Tensor:
    """The part of `ids` (B, T) that the model reads: all, or what fits the context.

    The window moves by half a context at a time, not by one: a key/value cache stays valid
    between two moves, and the text is the same with it and without it.
    """
    T, half = ids.shape[1], max(1, context_length // 2)
    if T <= context_length:
        return ids
    moves = -(-(T - context_length) // half)  # rounded up
    return ids[:, moves * half :]


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Turn dropout off inside a ``with`` block, and put the mode back as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()
def generate_ids(
    model: GPT,
    prompt: Sequence[int],
    max_new_tokens: int,
    n_sequences: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float = 1.0,
    seed: int | None = None,
    end_of_text: int | None = None,
) -> Iterator[list[int | None]]:
    """Continue a prompt: each step yields an id for each sequence, None for one that has ended.

    Args:
        model: any GPT, a :class:`gptlib.kv_cache.CachedGPT` for speed.
        prompt: token ids, at least one; may be longer than the context.
        n_sequences: continuations drawn side by side, from one random stream.
        temperature, top_k, top_p: see :func:`sample_next`.
        repetition_penalty: see :func:`apply_repetition_penalty`.
        seed: of the stream; by default PyTorch's global one.
        end_of_text: a sequence ends after this id.

    Raises:
        PromptError, TokenOutOfRange: the prompt is empty, or holds what the vocabulary lacks.
        ConfigError: a setting is out of its range.
    """
    check_sampling(temperature, top_k, top_p, repetition_penalty)
    if max_new_tokens < 1 or n_sequences < 1:
        raise ConfigError(
            f"max_new_tokens is {max_new_tokens} and n_sequences {n_sequences}: use 1 or more"
        )
    if not len(prompt):
        raise PromptError("the prompt is empty: give at least one character")
    ids = torch.tensor([list(prompt)] * n_sequences)  # (B, T), on the CPU
    check_ids(context_window(ids, model.config.context_length), model.config)
    generator = None if seed is None else torch.Generator(model.device).manual_seed(seed)
    ids, ended = ids.to(model.device), set[int]()
    with eval_mode(model):
        for _ in range(max_new_tokens):
            window = context_window(ids, model.config.context_length)
            logits = model.logits(model.hidden_states(window)[:, -1])  # (B, V)
            logits = apply_repetition_penalty(logits, ids, repetition_penalty)  # (B, V)
            new = sample_next(logits, temperature, top_k, top_p, generator)  # (B,)
            ids = torch.cat([ids, new[:, None]], dim=1)  # (B, T + 1)
            step = [None if row in ended else token for row, token in enumerate(new.tolist())]
            yield step
            ended |= {row for row, token in enumerate(step) if token == end_of_text}
            if len(ended) == n_sequences:
                return


def generate(
    model: GPT, prompt: Sequence[int], max_new_tokens: int, **settings: Any
) -> list[list[int]]:
    """The prompt and its continuation, for each sequence; settings as in :func:`generate_ids`."""
    sequences = [list(prompt) for _ in range(settings.get("n_sequences", 1))]
    for step in generate_ids(model, prompt, max_new_tokens, **settings):
        for sequence, token in zip(sequences, step, strict=True):
            if token is not None:
                sequence.append(token)
    return sequences


def generate_text(
    model: GPT, tokenizer: Tokenizer, prompt: str, max_new_tokens: int = 30, **settings: Any
) -> list[str]:
    """:func:`generate` on texts: the prompt included, the end-of-text token left out."""
    end = tokenizer.end_of_text
    settings = {"end_of_text": end, **settings}
    sequences = generate(model, tokenizer.encode(prompt), max_new_tokens, **settings)
    return [tokenizer.decode(ids[:-1] if ids[-1] == end else ids) for ids in sequences]


def stream_text(
    model: GPT, tokenizer: Tokenizer, prompt: str, max_new_tokens: int = 30, **settings: Any
) -> Iterator[str]:
    """What is added to the prompt, as it comes, never half a character nor an end-of-text."""
    end = tokenizer.end_of_text
    settings = {"end_of_text": end, **settings, "n_sequences": 1}
    steps = generate_ids(model, tokenizer.encode(prompt), max_new_tokens, **settings)
    new_ids = (token for (token,) in steps if token is not None and token != end)
    yield from decode_stream(tokenizer, new_ids)


@torch.no_grad()
def token_log_probs(model: GPT, ids: Tensor, first: int = 1) -> Tensor:
    """Each token's log probability (natural) after all before it: (B, T − first), at least float32.

    Read in the windows of :func:`context_window`, so it is also that of what :func:`generate` has
    written, before temperature, top-k, top-p and penalty shaped it.

    Args:
        model: any GPT but a :class:`gptlib.kv_cache.CachedGPT`, which would read only what is new.
        ids: (B, T), whole texts.
        first: the first position that is scored; the one at 0 has nothing before it.

    Raises:
        PromptError, TokenOutOfRange: there is nothing to score, or an id is not in the vocabulary.
    """
    T, context_length = ids.shape[1], model.config.context_length
    if not 1 <= first < T:
        raise PromptError(f"{T} tokens, scored from {first}: give a text of at least two tokens")
    scores = []
    with eval_mode(model):
        while first < T:
            start = first - context_window(ids[:, :first], context_length).shape[1]
            end = min(T, start + context_length + 1)  # the next window scores from here
            seen = model.hidden_states(ids[:, start : end - 1].to(model.device))  # (B, t, C)
            logits = model.logits(seen[:, first - end :])  # (B, n, V), for the n that are new
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            targets = ids[:, first:end].to(model.device)  # (B, n)
            scores.append(-F.cross_entropy(logits.transpose(1, 2), targets, reduction="none"))
            first = end
    return torch.cat(scores, dim=1)  # (B, T − first)
