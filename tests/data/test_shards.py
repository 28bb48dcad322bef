"""Prepared folders and their shards: the ids that were written, or a named error."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import mutations, rewrite
from shard_texts import DOCUMENTS, FILES, TOKENIZER, Numbers

from gptlib.data.dataset import fingerprint
from gptlib.data.prepare import open_prepared, prepare
from gptlib.data.shards import INDEX, header, open_shards, verify_shards
from gptlib.errors import CorpusError, ShardError, TextTooShort
from gptlib.files import file_facts
from gptlib.tokenizer import BPETokenizer


def refused(folder, words, reads=(open_prepared,)):
    """Assert that a folder is refused by one line."""
    for read in reads:
        with pytest.raises(ShardError, match=words) as caught:
            read(folder)
        assert "\n" not in str(caught.value)


# Opened


def test_ids_stay_on_the_disk(intact):
    prepared = open_prepared(intact)
    assert prepared.name == str(intact) and prepared.tokenizer.fingerprint == TOKENIZER.fingerprint
    arrays = prepared.tokens("train").arrays
    assert [type(array) for array in arrays] == [np.memmap, np.memmap]
    assert not any(array.flags.writeable for array in arrays)


def test_every_split_opens_and_another_is_named(intact):
    for split in ("train", "validation"):
        ids = np.concatenate([np.load(path) for path in sorted(intact.glob(f"shards/{split}-*"))])
        assert open_shards(intact / "shards", split)[:].tolist() == ids.tolist()
    prepared = open_prepared(intact)
    with pytest.raises(ShardError, match="no split 'test': give one of train, validation"):
        prepared.dataset("test", 8)
    with pytest.raises(TextTooShort, match=r"the validation split of .* is too short: .*90,001"):
        prepared.dataset("validation", 90_000)
    assert issubclass(ShardError, CorpusError)


def test_a_copy_elsewhere_is_the_same_data(intact, copy):
    one, other = open_prepared(intact), open_prepared(copy)
    assert one.fingerprint == other.fingerprint
    for split in ("train", "validation"):
        assert fingerprint(one.dataset(split, 16)) == fingerprint(other.dataset(split, 16))


# Damaged


def test_each_of_two_hundred_mutations_is_refused_and_named(copy):
    for file, _ in mutations(copy / "shards", FILES):
        refused(copy, f"is damaged: .*{file}")
        refused(copy / "shards", f"is damaged: .*{file}", [verify_shards])
    open_prepared(copy)


def test_files_that_are_missing_or_added_are_named(copy, tmp_path):
    refused(tmp_path / "gone", "is no prepared folder, it has no shards/: make one with")
    refused(copy / "report.json", "is no prepared folder, it has no shards/: make one with")
    refused(tmp_path, r"is damaged: shards\.json cannot be read", [verify_shards])
    (copy / "shards" / "extra\n.npy").write_bytes(b"")
    refused(copy, r"files 'extra\\n\.npy' are missing or added .remove what was added")


def write_deep(folder):
    (folder / "characters.json").write_text("[" * 100_000)


BAD_TOKENIZERS = {
    "missing": shutil.rmtree,
    "no JSON": lambda folder: (folder / "vocab.json").write_text("{"),
    "nested": lambda folder: (folder / "vocab.json").write_text("[" * 100_000),
    "nested characters": write_deep,
    "a long number": lambda folder: (folder / "vocab.json").write_text("1" * 10_000),
    "one file": lambda folder: (folder / "merges.txt").unlink(),
}


@pytest.mark.parametrize("damage", BAD_TOKENIZERS.values(), ids=BAD_TOKENIZERS)
def test_a_tokenizer_that_cannot_be_read_is_named(copy, damage):
    damage(copy / "tokenizer")
    refused(copy, "has no sound tokenizer .*prepare it again")


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


# Damage with the hashes made to fit: what a wrong writer, or someone who means it, would leave


def put(folder, content):
    """Replace the first shard, with its facts in the index."""
    (folder / FILES[0]).write_bytes(content)
    facts = file_facts(folder / FILES[0])
    rewrite(folder / INDEX, lambda values: values["shards"][0].update(facts))


READS = (verify_shards, lambda folder: open_shards(folder, "train"))


@pytest.fixture
def shards(copy):
    return copy / "shards"


OTHER = [">u2", "<i2", "<u4", "|u1", "<f2", "<i8"]


@pytest.mark.parametrize("dtype", OTHER)
def test_another_integer_type_is_refused(shards, dtype):
    n_ids = np.load(shards / FILES[0]).size
    item = np.dtype(dtype).itemsize
    put(shards, header(dtype, n_ids * 2 // item) + bytes(2 * n_ids // item * item))
    refused(shards, "does not begin as its index says|makes no sense", READS)


class Trap:
    """Would leave a mark if a pickle were read."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-read"),))


def test_a_pickle_is_not_unpickled(shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = (shards / FILES[0]).stat().st_size
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    for content in ((tmp_path / "trap.npy").read_bytes(), pickle.dumps(Trap())):
        put(shards, content.ljust(size, b"\0"))
        refused(shards, "does not begin as its index says", READS)
    assert not (tmp_path / "pickle-was-read").exists()


@pytest.mark.parametrize("vocab_size", [1_000, 65_535, 65_537])
def test_an_id_that_the_vocabulary_has_not_is_refused(tmp_path, vocab_size):
    prepare([str(n) for n in range(60)], tmp_path / "out", Numbers(vocab_size), None, 2)
    shards = tmp_path / "out" / "shards"
    ids = np.load(shards / FILES[0])
    ids[-1] = vocab_size
    put(shards, header(ids.dtype.str, len(ids)) + ids.tobytes())
    words = f"holds id {vocab_size:,}, the vocabulary {vocab_size:,}"
    refused(shards, words, [verify_shards])


def first(**facts):
    """A change of what the index says about the first shard."""
    return lambda values: values["shards"][0].update(facts)


NONSENSE = "is damaged: shards.json makes no sense"
WRONG = {
    "no list": (lambda values: values.pop("shards"), NONSENSE),
    "a number for a list": (lambda values: values.update(shards=3), NONSENSE),
    "a shard without facts": (lambda values: values["shards"].append(None), NONSENSE),
    "a fact too many": (first(note="?"), NONSENSE),
    "a fact too few": (lambda values: values["shards"][0].pop("sha256"), NONSENSE),
    "an entry too many": (lambda values: values.update(note="?"), NONSENSE),
    "a list for a name": (first(file=["train"]), NONSENSE),
    "another size": (first(bytes=7), r"train-00000\.npy has .* bytes, not 7"),
    "other ids": (first(tokens=7), "does not begin as its index says"),
    "another type": (lambda values: values.update(vocab_size=65_537), "does not begin as"),
    "no vocabulary": (lambda values: values.update(vocab_size=0), "0 tokens does not fit"),
    "outside": (first(file="../train-00000.npy"), "missing or added"),
    "version 2": (lambda values: values.update(version=2), "version 2, this gptlib reads 1: use"),
}


@pytest.mark.parametrize("change, words", WRONG.values(), ids=WRONG)
def test_an_index_that_is_wrong_is_named_though_its_hash_is_right(shards, change, words):
    shutil.copy(shards / FILES[0], shards.parent)
    rewrite(shards / INDEX, change)
    refused(shards, words, READS)
