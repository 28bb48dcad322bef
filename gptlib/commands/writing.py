"""What ``generate`` does: from the folder of a run to a text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptlib.environment import choose_device
from gptlib.errors import CheckpointError
from gptlib.generation import generate_text, stream_text
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.checkpoint import load_model


def write_text(model_folder: Path, prompt: str, n: int, **settings: Any) -> list[str]:
    """Return ``n`` continuations of ``prompt`` by the model of a run, the prompt included."""
    return generate_text(*trained(model_folder), prompt, n_sequences=n, **settings)


def write_pieces(model_folder: Path, prompt: str, **settings: Any) -> Iterator[str]:
    """Yield the continuation of ``prompt`` piece by piece, whole characters only."""
    yield from stream_text(*trained(model_folder), prompt, **settings)


def trained(folder: Path) -> tuple[GPT, Tokenizer]:
    """Return a run's model, on the best device that works here, and its tokenizer."""
    if not folder.is_dir():
        raise CheckpointError(f"no run in {folder}: train one first (python -m gptlib train)")
    model, tokenizer = load_model(folder)
    if tokenizer is None:
        raise CheckpointError(f"{folder} was trained without a tokenizer: it can write no text")
    device, _ = choose_device()
    return model.to(device), tokenizer
