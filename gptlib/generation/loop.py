"""Choose a token, append it, repeat: the same loop with a key/value cache and without."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gptlib.errors import ConfigError, PromptError
from gptlib.generation.sampling import check_sampling, penalise_repeats, sample_next
from gptlib.model import GPT, check_ids


def visible(ids: Tensor, context_length: int) -> Tensor:
    """The part of `ids` (B, T) that the model looks at: all, or what fills the context.

    Once the text outgrows the context, the window moves by half a context at a time, not by
    one: a key/value cache then stays valid between two moves, and the text is the same with it
    and without it.
    """
    T, half = ids.shape[1], max(1, context_length // 2)
    if T <= context_length:
        return ids
    moves = -(-(T - context_length) // half)  # rounded up
    return ids[:, moves * half :]


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
    """Continue a prompt, one step at a time.

    Args:
        model: any GPT, a :class:`CachedGPT` for speed; its train or eval mode is put back.
        prompt: token ids, at least one; the context may be shorter.
        max_new_tokens: steps at the most.
        n_sequences: continuations drawn side by side.
        temperature, top_k, top_p: see :func:`sample_next`.
        repetition_penalty: see :func:`penalise_repeats`.
        seed: the same seed gives the same continuations; None draws from PyTorch's stream.
        end_of_text: a sequence ends after this id.

    Yields:
        For each step the new id of each sequence, None where that sequence has ended.

    Raises:
        PromptError: the prompt is empty.
        TokenOutOfRange: a prompt id is not in the vocabulary.
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
    check_ids(visible(ids, model.config.context_length), model.config)
    generator = None if seed is None else torch.Generator(model.device).manual_seed(seed)
    ids, ended = ids.to(model.device), set[int]()
    with evaluating(model):
        for _ in range(max_new_tokens):
            last = model.features(visible(ids, model.config.context_length))[:, -1]  # (B, C)
            logits = penalise_repeats(model.logits(last), ids, repetition_penalty)  # (B, V)
            new = sample_next(logits, temperature, top_k, top_p, generator)  # (B,)
            ids = torch.cat([ids, new[:, None]], dim=1)  # (B, T + 1)
            step = [None if row in ended else token for row, token in enumerate(new.tolist())]
            yield step
            ended |= {row for row, token in enumerate(step) if token == end_of_text}
            if len(ended) == n_sequences:
                return


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Turn dropout off inside a ``with`` block, and put the mode back as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def generate(
    model: GPT, prompt: Sequence[int], max_new_tokens: int, **settings: Any
) -> list[list[int]]:
    """Continue a prompt of token ids; see :func:`generate_ids` for the settings.

    Returns:
        One list for each sequence: the prompt, then the new ids, up to the end of the text.
    """
    sequences = [list(prompt) for _ in range(settings.get("n_sequences", 1))]
    for step in generate_ids(model, prompt, max_new_tokens, **settings):
        for sequence, token in zip(sequences, step, strict=True):
            if token is not None:
                sequence.append(token)
    return sequences
