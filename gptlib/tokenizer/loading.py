"""A tokenizer by its name or from its folder."""

from functools import cache
from pathlib import Path

from gptlib import paths
from gptlib.errors import TokenizerError
from gptlib.tokenizer.bpe import BPETokenizer
from gptlib.tokenizer.characters import CharacterTokenizer
from gptlib.tokenizer.gpt2 import GPT2_FINGERPRINT, GPT2Tokenizer
from gptlib.tokenizer.interface import Tokenizer
from gptlib.tokenizer.ranks import gpt2_ranks


def load_tokenizer(name_or_folder: str | Path) -> Tokenizer:
    """Load a tokenizer.

    Args:
        name_or_folder: ``"gpt2"``, or a folder that a tokenizer's ``save`` has written.

    Returns:
        the tokenizer; for a folder with GPT-2's own vocabulary the fast one.

    Raises:
        VocabularyUnavailable: GPT-2's vocabulary is neither stored here nor reachable.
        TokenizerError: the folder holds no tokenizer, or a damaged one.
    """
    if name_or_folder == "gpt2":
        return _gpt2()
    folder = Path(name_or_folder)
    if (folder / "characters.json").is_file():
        return CharacterTokenizer.load(folder)
    if (folder / "vocab.json").is_file():
        return fastest(BPETokenizer.load(folder))
    raise TokenizerError(
        f"{name_or_folder} holds no tokenizer: give 'gpt2', or a folder with vocab.json and "
        "merges.txt, or with characters.json"
    )


def fastest(tokenizer: BPETokenizer) -> Tokenizer:
    """The same tokenizer; tiktoken's if its vocabulary is GPT-2's own."""
    if tokenizer.fingerprint == GPT2_FINGERPRINT:
        return GPT2Tokenizer(tokenizer.vocabulary)
    return tokenizer


@cache
def _gpt2() -> GPT2Tokenizer:
    """GPT-2's tokenizer never changes, so one serves the whole process."""
    return GPT2Tokenizer(gpt2_ranks(paths.tiktoken_folder()))
