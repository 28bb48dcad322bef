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
from gptlib.pretrained.config_files import CONFIG, GENERATION_CONFIG, read_object
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer, Tokenizer, load_tokenizer
from gptlib.tokenizer.gpt2 import fastest
from gptlib.tokenizer.roles import ROLES, read_roles
from gptlib.tokenizer.vocabulary import from_unicode

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
ASIDE = ("lstrip", "rstrip", "single_word")  # how an added token may change what is beside it


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
        **token_roles(tokenizer),
    }
    if "pad_token" in about:
        about["padding_side"] = "left"  # a text is continued at its right end
    write_json(folder / TOKENIZER_CONFIG, about)


def token_roles(tokenizer: Tokenizer) -> dict[str, str]:
    """Role → special token; the one that ends a text has every role that no other has.

    So it is in GPT-2's own files. As padding it is hidden by the attention mask.
    """
    named = tokenizer.roles if isinstance(tokenizer, BPETokenizer) else {}
    token_of = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    if tokenizer.end_of_text is None:
        return named
    return {**dict.fromkeys(ROLES, token_of[tokenizer.end_of_text]), **named}


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
        if (folder / "characters.json").is_file():
            return load_tokenizer(folder)
        if (folder / TOKENIZER).is_file():
            tokenizer = read_bpe(folder / TOKENIZER)
        elif (folder / "vocab.json").is_file():
            tokenizer = BPETokenizer.load(folder)
        else:
            return None
        refuse_other_settings(folder, tokenizer)
        add_role_ids(folder, tokenizer)
        return fastest(tokenizer)
    except TokenizerError as error:
        raise PretrainedError(f"{folder} holds no tokenizer of ours: {error}") from error


def refuse_other_settings(folder: Path, tokenizer: BPETokenizer) -> None:
    """Refuse what files beside the vocabulary add to it, or to each text."""
    path = folder / TOKENIZER_CONFIG
    content = read_object(path, "a tokenizer's") if path.is_file() else {}
    for name in ("add_prefix_space", "add_bos_token", "add_eos_token"):
        if content.get(name):
            raise TokenizerError(
                f"{path}: {name} is true, GPT-2's is false: give a GPT-2 tokenizer"
            )
    path = folder / "added_tokens.json"
    for token, token_id in (read_object(path, "tokens") if path.is_file() else {}).items():
        if tokenizer.special_tokens.get(token) != token_id:
            raise TokenizerError(
                f"{path} adds {token!r}, which the vocabulary lacks: save the tokenizer anew, "
                f"with a {TOKENIZER}"
            )


def add_role_ids(folder: Path, tokenizer: BPETokenizer) -> None:
    """Add the roles that the model's own files give to ids; only one token may end a text."""
    token_of = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    for path in (folder / CONFIG, folder / GENERATION_CONFIG):
        content = read_object(path, "a model's") if path.is_file() else {}
        for role in ROLES:
            ids = content.get(f"{role}_id")
            for token_id in ids if isinstance(ids, list) else [ids]:
                if token_id not in range(tokenizer.vocab_size):  # never drawn
                    continue
                if token_id in token_of:
                    tokenizer.roles.setdefault(role, token_of[token_id])
                if role == "eos_token" and token_id != tokenizer.end_of_text:
                    raise TokenizerError(
                        f"{path} ends a text at token {token_id}, its tokenizer at "
                        f"{tokenizer.end_of_text}: let one special token end it in all files"
                    )


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
        tokenizer = BPETokenizer(
            *from_unicode(vocabulary, [(left, right) for left, right in pairs])
        )
    except TokenizerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PretrainedError(f"{path} cannot be read as a tokenizer: bring it again") from error
    for token in parts.get("added_tokens") or []:
        if token["content"] not in tokenizer.special_tokens:
            raise TokenizerError(
                f"{path.name} adds {token['content']!r}, which is an ordinary token already: "
                f"GPT-2's added tokens are special ones"
            )
    tokenizer.roles = read_roles(path.parent, tokenizer.special_tokens)
    return tokenizer


def refuse_other_steps(path: Path, parts: dict[str, Any]) -> None:
    """Refuse a tokenizer that does more, or less, to a text than GPT-2's does."""
    pieces = parts["pre_tokenizer"] or {}
    after, model = parts.get("post_processor") or {}, parts["model"]
    wrong = {
        "model": model.get("type", "BPE") != "BPE",
        "dropout": bool(model.get("dropout")),
        "byte_fallback": bool(model.get("byte_fallback")),
        "ignore_merges": bool(model.get("ignore_merges")),
        "end_of_word_suffix": bool(model.get("end_of_word_suffix")),
        "continuing_subword_prefix": bool(model.get("continuing_subword_prefix")),
        "normalizer": parts.get("normalizer") is not None,
        "pre_tokenizer": pieces.get("type") != "ByteLevel" or not pieces.get("use_regex", True),
        "add_prefix_space": bool(pieces.get("add_prefix_space")),
        "added_tokens": any(
            token.get(side) for token in parts.get("added_tokens") or [] for side in ASIDE
        ),
        "post_processor": after.get("type", "ByteLevel") not in ("ByteLevel", "TemplateProcessing")
        or any("SpecialToken" in step for step in after.get("single", [])),  # put around each text
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise TokenizerError(
                f"the {name} of {path.name} is not GPT-2's: give a model with a byte-level BPE "
                f"that cuts texts as GPT-2 does"
            )
