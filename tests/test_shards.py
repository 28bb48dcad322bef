"""Shards that are read: the ids that were written, or a named error; never other numbers."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import mutations, rewrite
from shard_texts import DOCUMENTS, FILES, TOKENIZER, Numbers

from gptlib.data.sharding import write_shards
from gptlib.data.shards import INDEX, header, open_shards, verify_shards
from gptlib.errors import CorpusError, ShardError
from gptlib.files import file_facts


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One folder of shards, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("intact") / "shards"
    write_shards(DOCUMENTS, TOKENIZER, folder, 2)
    return folder


@pytest.fixture
def copy(intact, tmp_path):
    return Path(shutil.copytree(intact, tmp_path / "shards"))


def test_ids_stay_on_the_disk(intact):
    line = open_shards(intact, "train")
    assert [type(array) for array in line.arrays] == [np.memmap, np.memmap]
    assert not any(array.flags.writeable for array in line.arrays)


def test_every_split_opens_and_another_is_named(intact):
    for split in ("train", "validation"):
        tokens = sum(np.load(path).size for path in intact.glob(f"{split}-*"))
        assert len(open_shards(intact, split)) == tokens
    with pytest.raises(ShardError, match="no split 'test': give one of train, validation"):
        open_shards(intact, "test")
    assert issubclass(ShardError, CorpusError)


# Damage


def test_each_of_two_hundred_mutations_is_refused_and_named(copy):
    for file, kind in mutations(copy, FILES):
        with pytest.raises(ShardError, match=f"is damaged: .*{file}") as caught:
            verify_shards(copy)
        assert "\n" not in str(caught.value), (kind, file)
    verify_shards(copy)


def test_a_folder_that_is_missing_or_added_to_is_named(intact, copy, tmp_path):
    refused(tmp_path / "nothing", r"nothing is damaged: shards\.json cannot be read")
    (copy / "extra\n.npy").write_bytes(b"")
    refused(copy, r"files 'extra\\n\.npy' are missing or added")


# Damage with the hashes made to fit: what a wrong writer, or someone who means it, would leave


def put(folder, content):
    """Replace the first shard, with its facts in the index."""
    (folder / FILES[0]).write_bytes(content)
    facts = file_facts(folder / FILES[0])
    rewrite(folder / INDEX, lambda values: values["shards"][0].update(facts))


def refused(folder, words):
    for read in (verify_shards, lambda folder: open_shards(folder, "train")):
        with pytest.raises(ShardError, match=words) as caught:
            read(folder)
        assert "\n" not in str(caught.value)


OTHER = [">u2", "<i2", "<u4", "|u1", "<f2", "<i8"]


@pytest.mark.parametrize("dtype", OTHER)
def test_another_integer_type_is_refused(copy, dtype):
    n_ids = np.load(copy / FILES[0]).size
    item = np.dtype(dtype).itemsize
    put(copy, header(dtype, n_ids * 2 // item) + bytes(2 * n_ids // item * item))
    refused(copy, "does not begin as its index says|makes no sense")


class Trap:
    """Would leave a mark if a pickle were read."""

    def __reduce__(self):
        return (Path.touch, (Path("pickle-was-read"),))


def test_a_pickle_is_not_unpickled(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = (copy / FILES[0]).stat().st_size
    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    for content in ((tmp_path / "trap.npy").read_bytes(), pickle.dumps(Trap())):
        put(copy, content.ljust(size, b"\0"))
        refused(copy, "does not begin as its index says")
    assert not (tmp_path / "pickle-was-read").exists()


@pytest.mark.parametrize("vocab_size", [1_000, 65_535, 65_537])
def test_an_id_that_the_vocabulary_has_not_is_refused(tmp_path, vocab_size):
    write_shards([str(n) for n in range(60)], Numbers(vocab_size), tmp_path / "shards", 2)
    path = tmp_path / "shards" / FILES[0]
    ids = np.load(path)
    ids[-1] = vocab_size
    put(tmp_path / "shards", header(ids.dtype.str, len(ids)) + ids.tobytes())
    with pytest.raises(ShardError, match=f"holds id {vocab_size:,}, the vocabulary {vocab_size:,}"):
        verify_shards(tmp_path / "shards")


def first(**facts):
    """A change of what the index says about the first shard."""
    return lambda values: values["shards"][0].update(facts)


NONSENSE = {
    "no list": lambda values: values.pop("shards"),
    "a number for a list": lambda values: values.update(shards=3),
    "a shard without facts": lambda values: values["shards"].append(None),
    "a fact too many": first(note="?"),
    "a fact too few": lambda values: values["shards"][0].pop("sha256"),
    "an entry too many": lambda values: values.update(note="?"),
    "a list for a name": first(file=["train"]),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_an_index_that_makes_no_sense_is_named_though_its_hash_is_right(copy, change):
    rewrite(copy / INDEX, change)
    refused(copy, "is damaged: shards.json makes no sense")


WRONG = {
    "another size": (first(bytes=7), r"train-00000\.npy has .* bytes, not 7"),
    "other ids": (first(tokens=7), "does not begin as its index says"),
    "another type": (lambda values: values.update(vocab_size=65_537), "does not begin as"),
    "no vocabulary": (lambda values: values.update(vocab_size=0), "0 tokens does not fit"),
    "outside": (first(file="../train-00000.npy"), "missing or added"),
    "version 2": (lambda values: values.update(version=2), "version 2, this gptlib reads 1: use"),
}


@pytest.mark.parametrize("change, words", WRONG.values(), ids=WRONG)
def test_an_index_of_other_shards_is_refused_though_its_hash_is_right(copy, change, words):
    shutil.copy(copy / FILES[0], copy.parent)
    rewrite(copy / INDEX, change)
    refused(copy, words)
