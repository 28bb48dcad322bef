"""A model and its tokenizer by whatever names them: a release, a run, a checkpoint, a folder."""

from pathlib import Path

from gptlib.config import SIZES
from gptlib.environment import choose_device
from gptlib.errors import CheckpointError
from gptlib.model import GPT
from gptlib.pretrained.configuration import CONFIG
from gptlib.pretrained.hub import RELEASES
from gptlib.pretrained.openai import load_openai
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
        return load_openai(folder, mapped=True), load_tokenizer(folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"no run in {source}: train one first (python -m gptlib train), give a folder with a "
            f"{CONFIG}, or one of {', '.join(RELEASES)}"
        )
    model, tokenizer = load_model(folder)
    if tokenizer is None:
        raise CheckpointError(f"{folder} was trained without a tokenizer: it reads no text")
    return model, tokenizer
