"""Every file and field of a foreign tokenizer that could change ids: the same, or a refusal."""

import json
import shutil
from pathlib import Path

import pytest
from hf_folders import ROWS, Change, assert_same_ids, exported, open_theirs, set_fields
from tokenizers.processors import ByteLevel

from gptlib.errors import PretrainedError
from gptlib.pretrained.tokenizer_files import overlap, read_tokenizer
from gptlib.tokenizer import BPETokenizer

SIGNS = ["</s>", "<pad>", " ", "  ", "\n", "|>", "<s", "</"]


def in_part(*keys, **values):
    """Set fields in a part of tokenizer.json."""

    def apply(folder):
        parts = whole = json.loads((folder / "tokenizer.json").read_text())
        for key in keys:
            parts = parts[key]
        parts.update(values)
        (folder / "tokenizer.json").write_text(json.dumps(whole))

    return apply


def ordinary_token_added(folder):
    parts = json.loads((folder / "tokenizer.json").read_text())
    token = {**parts["added_tokens"][0], "content": "e", "id": parts["model"]["vocab"]["e"]}
    parts["added_tokens"].append(token)
    (folder / "tokenizer.json").write_text(json.dumps(parts))


MADE = {"end": "</s>", "pad": "<pad>", "both": "</s><pad>", "apart": "[SEP]"}


def decoder(**changes):
    """An added_tokens_decoder of these special tokens, with some fields of some changed."""

    def apply(folder):
        vocabulary = json.loads((folder / "vocab.json").read_text())
        tokens = {}
        for name, token in MADE.items():
            said = {"id": vocabulary[token], "content": token, "special": True, "lstrip": False}
            said |= changes.get(name, {})
            if said["content"]:
                tokens[str(said.pop("id"))] = said
        set_fields("tokenizer_config.json", added_tokens_decoder=tokens)(folder)

    return apply


def config(**values):
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
def made(tmp_path_factory):
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
def test_the_ids_are_autotokenizers_or_the_field_is_named(change, refusal, kind, made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    config(tokenizer_class=kind)(folder)
    if kind == "alone":  # vocab.json and merges.txt, without the whole tokenizer
        (folder / "tokenizer.json").unlink()
        config(tokenizer_class="GPT2Tokenizer")(folder)
        decoder()(folder)
    change(folder)
    if refusal:
        with pytest.raises(PretrainedError, match=refusal) as caught:
            read_tokenizer(folder)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
        return
    ours, theirs = read_tokenizer(folder), open_theirs(folder)
    assert ours.roles["eos_token"] == "</s>"
    for text in (*TEXTS, *ROWS[:30]):
        assert_same_ids((ours, theirs), text)


@pytest.mark.parametrize(
    ("a", "b", "upon"),
    [("<a>", "<b>", False), ("<a>", "x<", True), ("ab|", "b|c", True), ("abc", "b", True)],
)
def test_tokens_that_can_lie_upon_each_other(a, b, upon):
    assert overlap(a, b) is overlap(b, a) is upon


def test_a_special_token_that_no_file_adds_is_named(made, tmp_path):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(made / name, tmp_path)
    with pytest.raises(PretrainedError, match=r"no merge makes '</s><pad>', and no file adds it"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_no_json_is_refused(name, content, made, tmp_path):
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    (folder / name).write_bytes(content)
    with pytest.raises(
        PretrainedError, match=rf"{name} (cannot be|is not|holds no).*: (bring|save) it a"
    ):
        read_tokenizer(folder)


def test_the_older_spelling_of_merges_is_read_too(made, tmp_path):
    """OpenAI's own tokenizer.json writes a merge as one text and does not name its model."""
    folder = Path(shutil.copytree(made, tmp_path / "theirs"))
    parts = json.loads((folder / "tokenizer.json").read_text())
    del parts["model"]["type"]
    parts["model"]["merges"] = [" ".join(pair) for pair in parts["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(parts))
    back, ours = read_tokenizer(folder), read_tokenizer(made)
    assert back is not None and ours is not None and back.fingerprint == ours.fingerprint
