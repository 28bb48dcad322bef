"""Tokenizers as Hugging Face's libraries read them, and theirs as ours.

``tokenizer.json`` is the whole tokenizer for the Rust library behind ``AutoTokenizer``, and
``tokenizer_config.json`` says what its special tokens are for. Beside them lies what
``Tokenizer.save`` writes, so the folder is one of our own tokenizers as well.
"""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer

from gptlib.errors import PretrainedError, TokenizerError
from gptlib.files import write_json
from gptlib.pretrained.config_files import read_object
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer, Tokenizer, load_tokenizer
from gptlib.tokenizer.gpt2 import fastest
from gptlib.tokenizer.vocabulary import from_unicode

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
OWN_FILES = ("characters.json", "vocab.json")  # one of them lies in each of our own folders


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context_length: int) -> None:
    """Write a tokenizer's files for ``AutoTokenizer``, and its own.

    Args:
        folder: gets the files.
        tokenizer: GPT-2's, a trained one or characters.
        context_length: the most tokens that the model reads.
    """
    tokenizer.save(folder)
    of_id = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    rust = rust_tokenizer(folder, tokenizer)
    rust.add_special_tokens([AddedToken(of_id[i], normalized=False) for i in sorted(of_id)])
    rust.save(str(folder / TOKENIZER))
    about: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # tokenizer.json as it stands
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    if tokenizer.end_of_text is not None:
        end = of_id[tokenizer.end_of_text]
        about |= {"bos_token": end, "eos_token": end, "unk_token": end}
        # GPT-2 has no token for padding: this one stands there, hidden by the attention mask,
        # and on the left, since a text is continued at its right end
        about |= {"pad_token": end, "padding_side": "left"}
    write_json(folder / TOKENIZER_CONFIG, about)


def rust_tokenizer(folder: Path, tokenizer: Tokenizer) -> RustTokenizer:
    """The same tokenizer in Rust, without its special tokens; `folder` holds the saved one."""
    if isinstance(tokenizer, CharacterTokenizer):
        ids = {character: i for i, character in enumerate(tokenizer.characters)}
        rust = RustTokenizer(models.WordLevel(ids, unk_token=""))  # "" is none: refused, as by ours
        rust.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        rust.decoder = decoders.Fuse()
        return rust
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    rust = RustTokenizer(models.BPE.from_file(*files))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    return rust


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a Hugging Face folder, the same that ``AutoTokenizer`` would use.

    Returns:
        It, or None if the folder holds none.

    Raises:
        PretrainedError: it is damaged, or no byte-level BPE with GPT-2's pieces.
    """
    try:
        if (folder / TOKENIZER).is_file() and not (folder / "characters.json").is_file():
            return fastest(read_bpe(folder / TOKENIZER))
        if any((folder / name).is_file() for name in OWN_FILES):
            return load_tokenizer(folder)
    except TokenizerError as error:
        raise PretrainedError(f"{folder} holds no tokenizer of ours: {error}") from error
    return None


def read_bpe(path: Path) -> BPETokenizer:
    """The vocabulary and merges of a ``tokenizer.json``; see :func:`read_tokenizer`."""
    parts = read_object(path, "a tokenizer")
    try:
        refuse_other_steps(path, parts)
        model = parts["model"]
        vocabulary = dict(model["vocab"])
        for token in parts.get("added_tokens") or []:
            vocabulary[token["content"]] = token["id"]
        pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        return BPETokenizer(*from_unicode(vocabulary, [(left, right) for left, right in pairs]))
    except TokenizerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PretrainedError(f"{path} cannot be read as a tokenizer: bring it again") from error


def refuse_other_steps(path: Path, parts: dict[str, Any]) -> None:
    """Refuse a tokenizer that does more, or less, to a text than GPT-2's does."""
    pieces = parts["pre_tokenizer"] or {}
    after, model = parts.get("post_processor") or {}, parts["model"]
    wrong = {
        "model": model.get("type", "BPE") != "BPE",
        "dropout": bool(model.get("dropout")),
        "byte_fallback": bool(model.get("byte_fallback")),
        "ignore_merges": bool(model.get("ignore_merges")),
        "normalizer": parts.get("normalizer") is not None,
        "pre_tokenizer": pieces.get("type") != "ByteLevel" or not pieces.get("use_regex", True),
        "add_prefix_space": bool(pieces.get("add_prefix_space")),
        "post_processor": after.get("type", "ByteLevel") not in ("ByteLevel", "TemplateProcessing")
        or any("SpecialToken" in step for step in after.get("single", [])),  # put around each text
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise TokenizerError(
                f"the {name} of {path.name} is not GPT-2's: give a model with a byte-level BPE "
                f"that cuts texts as GPT-2 does"
            )
