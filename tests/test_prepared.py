"""A prepared folder: opened whole and matching, or refused by name."""

import shutil
from pathlib import Path

import pytest
import torch
from damage import mutations, rewrite
from shard_texts import DOCUMENTS, FILES, TOKENIZER, prepared_folder

from gptlib.data.dataset import TokenDataset, fingerprint
from gptlib.data.prepared import open_prepared
from gptlib.data.shards import INDEX, open_shards
from gptlib.errors import ShardError, TextTooShort
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One prepared folder, to be copied and damaged."""
    return prepared_folder(tmp_path_factory.mktemp("intact") / "prepared")


@pytest.fixture
def copy(intact, tmp_path):
    return Path(shutil.copytree(intact, tmp_path / "prepared"))


def refused(folder, words):
    with pytest.raises(ShardError, match=words) as caught:
        open_prepared(folder)
    assert "\n" not in str(caught.value)


def test_windows_are_those_of_the_ids_in_memory(intact):
    prepared = open_prepared(intact)
    assert prepared.name == str(intact) and prepared.tokenizer.fingerprint == TOKENIZER.fingerprint
    for split in ("train", "validation"):
        shards = open_shards(intact / "shards", split)
        assert len(prepared.tokens(split)) == len(shards)
        expected = TokenDataset(shards[:], 16)[:]
        assert all(map(torch.equal, prepared.dataset(split, 16)[:], expected))


def test_characters_can_be_prepared_too(tmp_path):
    letters = CharacterTokenizer.train(DOCUMENTS)
    prepared = open_prepared(prepared_folder(tmp_path / "letters", tokenizer=letters))
    assert prepared.tokenizer.decode(prepared.tokens("train")[:12].tolist()) in DOCUMENTS[0]


def test_a_copy_elsewhere_is_the_same_data(intact, copy):
    one, other = open_prepared(intact), open_prepared(copy)
    assert one.fingerprint == other.fingerprint
    for split in ("train", "validation"):
        assert fingerprint(one.dataset(split, 16)) == fingerprint(other.dataset(split, 16))


def test_other_windows_have_other_fingerprints(intact):
    prepared = open_prepared(intact)
    found = [
        fingerprint(TokenDataset(prepared.tokens(split), length, stride))
        for split in ("train", "validation")
        for length in (8, 16)
        for stride in (None, 4)
    ]
    assert len(set(found)) == len(found) == 8


def test_each_of_two_hundred_mutations_is_refused_and_named(copy):
    for file, _ in mutations(copy / "shards", FILES, seed=1):
        refused(copy, f"is damaged: .*{file}")
    open_prepared(copy)


@pytest.mark.parametrize("name", ["nothing", "prepared/report.json", "prepared/tokenizer"])
def test_what_was_never_prepared_is_named(copy, name):
    (copy / "report.json").write_text("{}")
    refused(copy.parent / name, "is no prepared folder, it has no shards/: make one with")


@pytest.mark.parametrize("damage", ["missing", "no json", "deep", "long", "one file"])
def test_a_tokenizer_that_cannot_be_read_is_named(copy, damage):
    if damage == "missing":
        shutil.rmtree(copy / "tokenizer")
    elif damage == "no json":
        (copy / "tokenizer" / "vocab.json").write_text("{")
    elif damage == "deep":
        (copy / "tokenizer" / "vocab.json").write_text("[" * 100_000)
    elif damage == "long":
        (copy / "tokenizer" / "vocab.json").write_text("1" * 10_000)
    else:
        (copy / "tokenizer" / "merges.txt").unlink()
    refused(copy, "has no sound tokenizer .*prepare it again")


def test_characters_nested_too_deep_are_named(copy):
    (copy / "tokenizer" / "characters.json").write_text("[" * 100_000)
    refused(copy, "has no sound tokenizer .*prepare it again")


def test_what_a_file_manager_left_need_only_be_removed(copy):
    (copy / "shards" / ".DS_Store").touch()
    refused(copy, "files '.DS_Store' are missing or added .remove what was added")


def test_another_tokenizer_is_refused_though_it_knows_every_id(copy):
    other = BPETokenizer.train("".join(DOCUMENTS).upper(), 300, ["<|endoftext|>"])
    assert other.vocab_size == TOKENIZER.vocab_size and other.fingerprint != TOKENIZER.fingerprint
    shutil.rmtree(copy / "tokenizer")
    other.save(copy / "tokenizer")
    refused(copy, "holds the tokenizer bpe-300, its shards were made by another, bpe-300")


@pytest.mark.parametrize("change", [{"vocab_size": 301}, {"end_of_text": None}])
def test_an_index_of_another_vocabulary_is_refused(copy, change):
    rewrite(copy / "shards" / INDEX, lambda values: values.update(change))
    refused(copy, "its shards were made by another")


def test_a_split_that_is_too_short_or_missing_is_named(intact):
    prepared = open_prepared(intact)
    with pytest.raises(TextTooShort, match=r"the validation split of .* is too short: .*90,001"):
        prepared.dataset("validation", 90_000)
    with pytest.raises(ShardError, match="no split 'test': give one of train, validation"):
        prepared.dataset("test", 8)
