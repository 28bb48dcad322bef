"""Text in, text out: whole, or piece by piece while it is written."""

from collections.abc import Iterator
from typing import Any

from gptlib.generation.loop import generate, generate_ids
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer, decode_stream


def generate_text(
    model: GPT, tokenizer: Tokenizer, prompt: str, max_new_tokens: int = 30, **settings: Any
) -> list[str]:
    """Continue a text; see :func:`generate_ids` for the settings.

    Returns:
        One text for each sequence, the prompt included, the end-of-text token left out.
    """
    end = tokenizer.end_of_text
    settings = {"end_of_text": end, **settings}
    sequences = generate(model, tokenizer.encode(prompt), max_new_tokens, **settings)
    return [tokenizer.decode(ids[:-1] if ids[-1] == end else ids) for ids in sequences]


def stream_text(
    model: GPT, tokenizer: Tokenizer, prompt: str, max_new_tokens: int = 30, **settings: Any
) -> Iterator[str]:
    """Continue a text and yield the new part as it comes, never half a character.

    The pieces join to what :func:`generate_text` adds to the prompt.
    """
    end = tokenizer.end_of_text
    settings = {"end_of_text": end, **settings, "n_sequences": 1}
    steps = generate_ids(model, tokenizer.encode(prompt), max_new_tokens, **settings)
    new_ids = (token for (token,) in steps if token is not None and token != end)
    yield from decode_stream(tokenizer, new_ids)
