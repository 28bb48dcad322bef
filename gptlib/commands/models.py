"""A model and its tokenizer by whatever names them: a release, a run, a checkpoint, a folder."""

from pathlib import Path

from gptlib.config import SIZES
from gptlib.environment import choose_device
from gptlib.errors import CheckpointError
from gptlib.model import GPT
from gptlib.pretrained.weights import CONFIG, RELEASES, import_model, load_openai
from gptlib.tokenizer import Tokenizer, load_tokenizer
from gptlib.training.checkpoint import load_model


def open_model(source: str) -> tuple[GPT, Tokenizer]:
    """Return a model, on the best device that works here, and its tokenizer.

    Args:
        source: ``gpt2`` … ``gpt2-xl`` or a size, for OpenAI's weights; a run or one of its
            checkpoints; or a folder with ``config.json``, weights and tokenizer.
    """
    model, tokenizer = _open(source)
    device, _ = choose_device()
    return model.to(device), tokenizer


def _open(source: str) -> tuple[GPT, Tokenizer]:
    folder = Path(source)
    if SIZES.get(source, source) in RELEASES:
        return load_openai(source, mapped=True), load_tokenizer("gpt2")
    if (folder / CONFIG).is_file():
        return with_tokenizer(source, *import_model(folder, mapped=True))
    if not folder.is_dir():
        raise CheckpointError(
            f"no run in {source}: train one first (python -m gptlib train), give a folder with a "
            f"{CONFIG}, or one of {', '.join(RELEASES)}"
        )
    return with_tokenizer(source, *load_model(folder))


def with_tokenizer(source: str, model: GPT, tokenizer: Tokenizer | None) -> tuple[GPT, Tokenizer]:
    """Refuse a model that reads ids but no text."""
    if tokenizer is None:
        raise CheckpointError(f"{source} holds no tokenizer: it reads no text: give one that does")
    return model, tokenizer
