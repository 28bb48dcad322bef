"""Tokenizers in a Hugging Face folder: the same ids as AutoTokenizer's, or a refusal by name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hf_folders import SMALL, Change, set_fields
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, darija, texts_in_all_scripts
from tokenizers.processors import ByteLevel
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers_twin import opened, twins

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.generation import generate_text
from gptlib.pretrained.export import export_model
from gptlib.pretrained.tokenizer_files import read_tokenizer, write_tokenizer
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import (
    END_OF_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    Tokenizer,
    load_tokenizer,
)

ROWS = darija()
SPECIAL = ["<|endoftext|>", "<|end|>", "<|endoftext|><|end|>", "<سؤال>"]
ROLES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
MARKET = "وحد نهار راني رايح للسوق نشري الخبز"
ARABIZI = "wesh rak khouya, sba7 lkhir 3lik; ghadwa nrou7 l'marché m3a s7abi"
# Arabic, Arabizi and special tokens side by side, with odd spaces between: as people write.
WORDS = sorted({word for row in ROWS for word in row.split()})
SIGNS = [*SPECIAL, *ROLES.values(), " ", "  ", "\n", "|>", "<|end", "<s", "</"]
MIXED_TEXT = st.lists(st.one_of(st.sampled_from(WORDS), st.sampled_from(SIGNS)), max_size=12).map(
    " ".join
) | st.lists(st.sampled_from([*SIGNS, *WORDS[:50]]), max_size=12).map("".join)
Pair = tuple[Tokenizer, PreTrainedTokenizerBase]


def open_theirs(folder: Path) -> PreTrainedTokenizerBase:
    # what AutoTokenizer asks beside the tokenizer's own files: which model this is
    set_fields("config.json", model_type="gpt2")(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def exported(folder: Path, tokenizer: Tokenizer) -> Pair:
    write_tokenizer(folder, tokenizer, context_length=1 << 20)
    return tokenizer, open_theirs(folder)


def foreign(folder: Path) -> None:
    """A tokenizer of another's making: </s> ends a text; saved by transformers."""
    tokenizer = BPETokenizer.train(ROWS, 400, [*ROLES.values()], fast=True)
    (folder / "made").mkdir()
    write_tokenizer(folder / "made", tokenizer, 96)
    words = PreTrainedTokenizerFast(tokenizer_file=str(folder / "made" / "tokenizer.json"))
    words.add_special_tokens(ROLES)
    words.save_pretrained(folder)


@pytest.fixture(scope="module", params=["gpt2", "darija", "special", "foreign"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A tokenizer of ours and AutoTokenizer, which read, or was made of, the same files."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "foreign":
        foreign(folder)
        ours = read_tokenizer(folder)
        assert ours is not None
        return ours, open_theirs(folder)
    made: dict[str, Callable[[], Tokenizer]] = {
        "gpt2": lambda: load_tokenizer("gpt2"),
        "darija": lambda: BPETokenizer.train(ROWS, 1_000, [END_OF_TEXT], fast=True),
        "special": lambda: BPETokenizer.train(ROWS, 400, SPECIAL, fast=True),
    }
    return exported(folder, made[request.param]())


def assert_same_ids(pair: Pair, text: str) -> None:
    ours, theirs = pair
    assert theirs(text).input_ids == ours.encode(text, allow_special=True)
    assert theirs(text, split_special_tokens=True).input_ids == ours.encode(text)


def test_five_hundred_texts_have_the_same_ids(pair: Pair) -> None:
    joined = [f"{ARABIZI}{token} {MARKET} {token}" for token in pair[0].special_tokens]
    texts = [*joined, *SIGNS, *texts_in_all_scripts(10), *ROWS[:400]]
    assert len(texts) > 500
    for text in texts:
        assert_same_ids(pair, text)


@settings(deadline=None, max_examples=100)
@given(st.one_of(MIXED_TEXT, ANY_TEXT, AWKWARD_TEXT))
def test_any_text_has_the_same_ids_and_comes_back(pair: Pair, text: str) -> None:
    assert_same_ids(pair, text)
    assert pair[1].decode(pair[1](text).input_ids) == text


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_ids_decode_alike(pair: Pair, data: st.DataObject) -> None:
    ours, theirs = pair
    ids = data.draw(st.lists(st.integers(0, ours.vocab_size - 1), max_size=12))
    assert theirs.decode(ids) == ours.decode(ids)
    shown = [i for i in ids if i not in ours.special_tokens.values()]
    assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(shown)


def test_special_tokens_padding_and_the_way_back(pair: Pair, tmp_path: Path) -> None:
    ours, theirs = pair
    assert len(theirs) == theirs.vocab_size == ours.vocab_size  # no id beyond the model's table
    assert theirs.eos_token_id == ours.end_of_text
    for token, token_id in ours.special_tokens.items():
        assert theirs.convert_tokens_to_ids(token) == token_id
    theirs.save_pretrained(tmp_path)
    back = read_tokenizer(tmp_path)
    assert back is not None and back.fingerprint == ours.fingerprint
    assert back.special_tokens == ours.special_tokens and type(back) is type(ours)
    if ours.roles:
        return
    assert theirs.bos_token_id == theirs.pad_token_id == ours.end_of_text
    batch = theirs(["wesh", MARKET], padding=True)
    short, hidden = batch.input_ids[0], batch.attention_mask[0]
    n_padding = hidden.count(0)
    assert n_padding > 0 and hidden == [0] * n_padding + [1] * (len(hidden) - n_padding)
    assert short[:n_padding] == [ours.end_of_text] * n_padding


def test_a_tokenizer_without_special_tokens_gets_none(tmp_path: Path) -> None:
    ours, theirs = exported(tmp_path, BPETokenizer.train(MARKET, 280))
    assert len(theirs) == ours.vocab_size and theirs.all_special_tokens == []
    assert_same_ids((ours, theirs), f"{MARKET}<|endoftext|>{ARABIZI}")


def test_characters_have_the_same_ids_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    ours, theirs = exported(tmp_path, CharacterTokenizer.train([*ROWS, "\n \t'\""]))
    for text in (*ROWS, " \n\n ", ""):
        assert theirs(text).input_ids == ours.encode(text)
        assert theirs.decode(theirs(text).input_ids) == text
    with pytest.raises(Exception, match="UNK"):
        theirs("☃")
    back = read_tokenizer(tmp_path)
    assert back is not None and back.fingerprint == ours.fingerprint


# --- every file and field that could change the ids ------------------------------------------


def in_part(*keys: str | int, **values: Any) -> Change:
    """Set fields in a part of tokenizer.json."""

    def apply(folder: Path) -> None:
        parts = whole = json.loads((folder / "tokenizer.json").read_text())
        for key in keys:
            parts = parts[key]
        parts.update(values)
        (folder / "tokenizer.json").write_text(json.dumps(whole))

    return apply


def ordinary_token_added(folder: Path) -> None:
    parts = json.loads((folder / "tokenizer.json").read_text())
    token = {**parts["added_tokens"][0], "content": "e", "id": parts["model"]["vocab"]["e"]}
    parts["added_tokens"].append(token)
    (folder / "tokenizer.json").write_text(json.dumps(parts))


MADE = {"end": "</s>", "pad": "<pad>", "both": "</s><pad>", "apart": "[SEP]"}


def decoder(**changes: dict[str, Any]) -> Change:
    """An added_tokens_decoder of these special tokens, with some fields of some changed."""

    def apply(folder: Path) -> None:
        vocabulary = json.loads((folder / "vocab.json").read_text())
        tokens = {}
        for name, token in MADE.items():
            said = {"id": vocabulary[token], "content": token, "special": True, "lstrip": False}
            said |= changes.get(name, {})
            if said["content"]:
                tokens[str(said.pop("id"))] = said
        set_fields("tokenizer_config.json", added_tokens_decoder=tokens)(folder)

    return apply


def config(**values: Any) -> Change:
    return set_fields("tokenizer_config.json", **values)


NEW = "<new>', which the vocabulary lacks"
AROUND = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>"}}]}
# A change of the files → what the refusal names; "" where the ids stay AutoTokenizer's.
CHANGES: dict[str, tuple[Change, str]] = {
    "nothing": (decoder(), ""),
    "lstrip": (decoder(pad={"lstrip": True}), r"added_tokens_decoder '<pad>': lstrip is True"),
    "rstrip": (decoder(pad={"rstrip": True}), "rstrip is True"),
    "single_word": (decoder(pad={"single_word": True}), "single_word is True"),
    "special": (decoder(pad={"special": False}), "special is False, GPT-2's is True"),
    "normalized, apart": (decoder(apart={"normalized": True}), ""),
    "normalized, at one place": (decoder(both={"normalized": True}), "normalized of '</s>' is not"),
    "one left out": (decoder(pad={"content": ""}), "no file adds it: list it in the added_tokens_"),
    "another id": (decoder(pad={"id": 7}), "adds '<pad>', which the vocabulary lacks, or has as"),
    "one more": (decoder(pad={"content": "<new>"}), NEW),
    "mask_token": (config(mask_token="<new>"), f"mask_token adds '{NEW}"),
    "mask_token eats": (config(mask_token={"content": "<pad>", "lstrip": True}), "lstrip is True"),
    "extra": (config(extra_special_tokens=["<pad>", "<new>"]), NEW),
    "additional": (set_fields("special_tokens_map.json", additional_special_tokens=["<new>"]), NEW),
    "added_tokens.json": (set_fields("added_tokens.json", **{"<new>": 300}), NEW),
    "split_special_tokens": (config(split_special_tokens=True), "split_special_tokens is True"),
    "add_prefix_space": (config(add_prefix_space=True), "add_prefix_space is True, GPT-2's is Fal"),
    "add_bos_token": (config(add_bos_token=True), "add_bos_token is True"),
    "add_eos_token": (config(add_eos_token=True), "add_eos_token is True"),
    "tokenizer_class": (config(tokenizer_class="BertTokenizer"), "tokenizer_class is 'BertToken"),
    "a role's token": (config(eos_token="<end>"), "the eos_token '<end>' is no special"),
    "a role's ordinary token": (config(pad_token={"content": "e"}), "the pad_token 'e' is no"),
    "a role's list": (
        set_fields("special_tokens_map.json", bos_token=["<s>"]),
        r"the bos_token \['<s>'\] is no special",
    ),
}
PARTS: dict[str, tuple[Change, str]] = {  # of tokenizer.json
    "model": (in_part("model", type="Unigram"), "model.type is 'Unigram', GPT-2's is 'BPE'"),
    "dropout": (in_part("model", dropout=0.1), "model.dropout is 0.1"),
    "whole words": (in_part("model", ignore_merges=True), "model.ignore_merges is True"),
    "bytes": (in_part("model", byte_fallback=True), "model.byte_fallback is True"),
    "suffix": (in_part("model", end_of_word_suffix="</w>"), "model.end_of_word_suffix is '</w>'"),
    "prefix": (in_part("model", continuing_subword_prefix="#"), "continuing_subword_prefix is '#'"),
    "lower case": (in_part(normalizer={"type": "Lowercase"}), "normalizer is {'type': 'Lowercase'"),
    "a space before": (
        in_part("pre_tokenizer", add_prefix_space=True),
        "pre_tokenizer.add_prefix_space is True",
    ),
    "other pieces": (in_part("pre_tokenizer", use_regex=False), "use_regex is False"),
    "no pieces": (in_part(pre_tokenizer=None), "pre_tokenizer.type is None, GPT-2's is 'ByteLevel"),
    "around": (in_part(post_processor=AROUND), r"post_processor.single is \[\{'SpecialToken'"),
    "another end": (in_part(post_processor={"type": "RobertaProcessing"}), "post_processor.type"),
    "nothing around": (in_part(post_processor=json.loads(ByteLevel().__getstate__())), ""),
    "lstrip": (in_part("added_tokens", 0, lstrip=True), "added_tokens '</s>': lstrip is True"),
    "ordinary": (
        ordinary_token_added,
        "adds 'e', which the vocabulary lacks, or has as another token",
    ),
    "a gap": (in_part("added_tokens", 0, id=9_999), "are not 0 to 299, each once"),
    "no vocabulary": (in_part("model", vocab=None), "files of its tokenizer cannot be read"),
    "a list": (in_part("model", vocab=[1, 2]), "files of its tokenizer cannot be read"),
    "ids as text": (in_part("model", "vocab", a="7"), "files of its tokenizer cannot be read"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tokenizer with four special tokens, one of them two others together."""
    tokenizer = BPETokenizer.train(ROWS, 300, [*MADE.values()], fast=True)
    tokenizer.roles = {"eos_token": "</s>", "pad_token": "<pad>"}
    exported(folder := tmp_path_factory.mktemp("made"), tokenizer)
    return folder


TEXTS = [f"wesh {a} rak{b}khouya {a}{b}" for a in SIGNS for b in MADE.values()]
CASES = [
    *(pytest.param(*CHANGES[name], kind, id=f"{name}-{kind}") for name in CHANGES
      for kind in ("PreTrainedTokenizerFast", "GPT2Tokenizer", "alone")),
    *(pytest.param(*PARTS[name], "GPT2Tokenizer", id=f"tokenizer.json-{name}") for name in PARTS),
]  # fmt: skip


@pytest.mark.parametrize(("change", "refusal", "kind"), CASES)
def test_the_ids_are_autotokenizers_or_the_field_is_named(
    change: Change, refusal: str, kind: str, made: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    config(tokenizer_class="GPT2Tokenizer" if kind == "alone" else kind)(folder)
    decoder()(folder) if kind == "alone" else None
    if kind == "alone":  # vocab.json and merges.txt, without the whole tokenizer
        (folder / "tokenizer.json").unlink()
    change(folder)
    if refusal:
        with pytest.raises(PretrainedError, match=refusal) as caught:
            read_tokenizer(folder)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
        return
    ours, theirs = read_tokenizer(folder), open_theirs(folder)
    assert ours is not None and ours.roles["eos_token"] == "</s>"
    for text in (*TEXTS, *ROWS[:30]):
        assert_same_ids((ours, theirs), text)


def test_a_special_token_that_no_file_adds_is_named(made: Path, tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(made / name, tmp_path)
    with pytest.raises(PretrainedError, match=r"no merge makes '</s><pad>', and no file adds it"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_no_json_is_refused(name: str, content: bytes, made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    (folder / name).write_bytes(content)
    with pytest.raises(PretrainedError, match=rf"{name} cannot be read.*: bring it again"):
        read_tokenizer(folder)


def test_the_older_spelling_of_merges_is_read_too(made: Path, tmp_path: Path) -> None:
    """OpenAI's own tokenizer.json writes a merge as one text and does not name its model."""
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    parts = json.loads((folder / "tokenizer.json").read_text())
    del parts["model"]["type"]
    parts["model"]["merges"] = [" ".join(pair) for pair in parts["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(parts))
    back, ours = read_tokenizer(folder), read_tokenizer(made)
    assert back is not None and ours is not None and back.fingerprint == ours.fingerprint


# --- roles: what ends, begins and pads a text ------------------------------------------------

PROMPT = "wesh rak"
ROLE_FILES = ["tokenizer_config.json", "special_tokens_map.json"]
ROLE_FILES += ["config.json", "generation_config.json"]
ROLE_IDS = [f"{role}_id" for role in ROLES]


@pytest.fixture
def ending(tmp_path: Path) -> Path:
    """A foreign model that ends each text at once, as transformers saves it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    foreign(folder)
    words = AutoTokenizer.from_pretrained(folder)
    shape = GPTConfig.from_dict({**SMALL.to_dict(), "vocab_size": len(words)})
    _, model = twins(shape, 0.3, torch.float64)
    with torch.no_grad():
        model.transformer.ln_f.bias += 99 * model.transformer.wte.weight[words.eos_token_id]
    for name in (role for role in ROLE_IDS if role != "unk_token_id"):
        setattr(model.config, name, getattr(words, name))
        setattr(model.generation_config, name, getattr(words, name))
    model.save_pretrained(folder)
    set_fields("special_tokens_map.json", **ROLES)(folder)
    return folder


@pytest.mark.parametrize("file", ROLE_FILES)
def test_a_text_ends_where_any_of_the_files_says(file: str, ending: Path) -> None:
    theirs, words = opened(ending), AutoTokenizer.from_pretrained(ending)
    prompt = words(PROMPT, return_tensors="pt")
    assert theirs.generate(**prompt, do_sample=False)[0, -1] == words.eos_token_id
    for other in set(ROLE_FILES) - {file}:
        set_fields(other, **dict.fromkeys([*ROLES, *ROLE_IDS]))(ending)
    model, tokenizer = import_model(ending, torch.float64)
    assert tokenizer is not None and tokenizer.end_of_text == words.eos_token_id
    assert generate_text(model, tokenizer, PROMPT, temperature=0) == [PROMPT]


def test_every_role_goes_out_again_and_a_run_keeps_it(ending: Path, tmp_path: Path) -> None:
    model, tokenizer = import_model(ending, torch.float64)
    export_model(tmp_path / "out", model, tokenizer)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert {role: getattr(words, role) for role in ROLES} == ROLES
    there = json.loads((ending / "config.json").read_text())
    for file in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "out" / file).read_text())
        assert all(content[name] == there[name] is not None for name in ROLE_IDS[:3])
    assert tokenizer is not None and tokenizer.roles == ROLES
    tokenizer.save(tmp_path / "run")
    again = load_tokenizer(tmp_path / "run")
    assert again.roles == ROLES and again.end_of_text == tokenizer.end_of_text


@pytest.mark.parametrize(
    ("file", "ids", "message"),
    [
        ("config.json", 257, "ends a text at token 257, its tokenizer at "),
        ("generation_config.json", [0, 1], "ends a text at token 0, its tokenizer at"),
        ("config.json", 50_256, ""),  # what GPT2Config says where nobody has set it
    ],
)
def test_only_one_token_ends_a_text(file: str, ids: object, message: str, ending: Path) -> None:
    set_fields(file, eos_token_id=ids)(ending)
    if message:
        with pytest.raises(PretrainedError, match=message):
            import_model(ending)
    else:
        tokenizer = read_tokenizer(ending)
        assert tokenizer is not None
        assert tokenizer.end_of_text == tokenizer.special_tokens["</s>"]
