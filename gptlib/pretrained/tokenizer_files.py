"""Tokenizers as Hugging Face's libraries read them, and theirs as ours.

``tokenizer.json`` is the whole tokenizer for the Rust library behind ``AutoTokenizer``, and
``tokenizer_config.json`` says what its special tokens are for. Beside them lies what
``Tokenizer.save`` writes, so the folder is one of our own tokenizers as well.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as RustTokenizer

from gptlib.errors import PretrainedError, TokenizerError
from gptlib.files import write_json
from gptlib.pretrained.config_files import (
    CONFIG,
    GENERATION_CONFIG,
    OFF,
    Allowed,
    check_fields,
    read_object,
)
from gptlib.tokenizer import (
    END_OF_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    Tokenizer,
    load_tokenizer,
)
from gptlib.tokenizer.gpt2 import fastest
from gptlib.tokenizer.vocabulary import (
    ROLES,
    ROLES_FILE,
    Vocabulary,
    from_unicode,
    read_roles,
    read_vocabulary,
)

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"

# What a tokenizer's files may say and still give GPT-2's ids.
MODEL: Allowed = {
    **dict.fromkeys(("dropout", "byte_fallback", "ignore_merges"), OFF),
    **dict.fromkeys(("end_of_word_suffix", "continuing_subword_prefix"), OFF),
    "type": ("BPE",),
}
PIECES: Allowed = {"type": ("ByteLevel",), "add_prefix_space": OFF, "use_regex": (True,)}
AROUND: Allowed = {"type": ("ByteLevel", "TemplateProcessing"), "single": OFF}
ADDED: Allowed = {"lstrip": OFF, "rstrip": OFF, "single_word": OFF, "special": (True,)}
SETTINGS: Allowed = {  # of tokenizer_config.json
    **dict.fromkeys(("add_prefix_space", "add_bos_token", "add_eos_token"), OFF),
    "split_special_tokens": OFF,
    "tokenizer_class": (
        *("GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"),
        *OFF,
    ),
}
# Of tokenizer_config.json and special_tokens_map.json: a special token or a list of some
TOKEN_FIELDS = (
    *(*ROLES, "sep_token", "cls_token", "mask_token"),
    *("additional_special_tokens", "extra_special_tokens"),
)
Declared = tuple[Path, str, dict[str, Any]]  # a file, its field, the token in it


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context_length: int) -> None:
    """Write a tokenizer's files for ``AutoTokenizer``, and its own."""
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
    token_of = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    if tokenizer.end_of_text is None:
        return tokenizer.roles
    return {**dict.fromkeys(ROLES, token_of[tokenizer.end_of_text]), **tokenizer.roles}


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
    """The tokenizer of a folder, with ``AutoTokenizer``'s ids; None if there is none.

    Raises PretrainedError, which names the file or field that is damaged or gives other ids.
    """
    try:
        if (folder / "characters.json").is_file():
            return load_tokenizer(folder)
        parts = read_object(folder / TOKENIZER)
        if (folder / TOKENIZER).is_file():
            vocabulary = read_vocabulary_of_rust(folder / TOKENIZER, parts)
        elif (folder / "vocab.json").is_file():
            vocabulary = read_vocabulary(folder)
        else:
            return None
        tokenizer = BPETokenizer(*vocabulary)
        tokenizer.roles = read_roles(folder, tokenizer.special_tokens)
        check_added_tokens(folder, parts, tokenizer.special_tokens)
        add_role_ids(folder, tokenizer)
        return fastest(tokenizer)
    except TokenizerError as error:
        raise PretrainedError(f"{folder} holds no tokenizer of ours: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PretrainedError(
            f"{folder}: the files of its tokenizer cannot be read ({error!r}): bring them again"
        ) from error


def read_vocabulary_of_rust(path: Path, parts: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a ``tokenizer.json`` that does to a text what GPT-2's does, no more."""
    model, after = parts["model"], parts.get("post_processor") or {}
    around = [step for step in after.get("single", []) if "SpecialToken" in step]
    check_fields(path, parts, {"normalizer": OFF})
    check_fields(path, model, MODEL, "model.")
    pieces = {"type": None, **(parts["pre_tokenizer"] or {})}
    check_fields(path, pieces, PIECES, "pre_tokenizer.")
    check_fields(path, {**after, "single": around}, AROUND, "post_processor.")
    words = dict(model["vocab"])
    for token in parts.get("added_tokens") or []:
        words[token["content"]] = token["id"]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    return from_unicode(words, [(left, right) for left, right in pairs])


def declared_tokens(folder: Path, parts: Mapping[str, Any]) -> Iterator[Declared]:
    """Every special token that any of the files adds, as the file, the field, and what it says."""
    for token in parts.get("added_tokens") or []:
        yield folder / TOKENIZER, "added_tokens", token
    for token, token_id in read_object(folder / "added_tokens.json").items():
        yield folder / "added_tokens.json", "it", {"content": token, "id": token_id}
    for path in (folder / TOKENIZER_CONFIG, folder / ROLES_FILE):
        for field, value in read_object(path).items():
            if field == "added_tokens_decoder":
                tokens = [{**token, "id": int(token_id)} for token_id, token in value.items()]
            elif field in TOKEN_FIELDS and value is not None:
                tokens = value if isinstance(value, list) else [value]
            else:
                continue
            for token in tokens:
                yield path, field, token if isinstance(token, dict) else {"content": token}


def check_added_tokens(
    folder: Path, parts: Mapping[str, Any], special_tokens: Mapping[str, int]
) -> None:
    """Refuse what files beside the vocabulary add to it, or to each text, and we would not."""
    path = folder / TOKENIZER_CONFIG
    check_fields(path, read_object(path), SETTINGS)
    declared = list(declared_tokens(folder, parts))
    normalized: dict[str, set[bool]] = defaultdict(set)
    for path, field, said in declared:
        token = said["content"]
        check_fields(path, said, ADDED, f"{field} {token!r}: ")
        if special_tokens.get(token, -1) != said.get("id", special_tokens.get(token)):
            raise TokenizerError(
                f"{path}: {field} adds {token!r}, which the vocabulary lacks, or has as another "
                f"token: save the tokenizer anew, with a {TOKENIZER}"
            )
        normalized[token].add(said.get("normalized", False))
    decoded = {said["content"] for _, field, said in declared if field == "added_tokens_decoder"}
    for token in sorted(special_tokens.keys() - (decoded or normalized.keys())):
        if parts or decoded or token != END_OF_TEXT:  # GPT-2's own is always there
            raise TokenizerError(
                f"{folder}: no merge makes {token!r}, and no file adds it: list it in the "
                f"added_tokens_decoder of {TOKENIZER_CONFIG}"
            )
    for token, other in combinations(special_tokens, 2):
        if overlap(token, other) and len(normalized[token] | normalized[other]) > 1:
            raise TokenizerError(
                f"{folder}: normalized of {token!r} is not that of {other!r}, and a text can hold "
                f"both at one place: give both the same"
            )


def overlap(a: str, b: str) -> bool:
    """Whether two tokens can lie upon each other in a text, so that the order of search decides."""
    sizes = range(1, min(len(a), len(b)))
    return a in b or b in a or any(a[-n:] == b[:n] or b[-n:] == a[:n] for n in sizes)


def add_role_ids(folder: Path, tokenizer: BPETokenizer) -> None:
    """Add the roles that the model's own files give to ids; only one token may end a text."""
    token_of = {token_id: token for token, token_id in tokenizer.special_tokens.items()}
    for path in (folder / CONFIG, folder / GENERATION_CONFIG):
        for role in ROLES:
            ids = read_object(path).get(f"{role}_id")
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
