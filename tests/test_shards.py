"""Shards that are read: the ids that were written, or a named error; never other numbers."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import mutations, rewrite
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_texts import DOCUMENTS, FILES, TOKENIZER, Numbers

from gptlib.config import GPTConfig
from gptlib.data.batches import Batches
from gptlib.data.sharding import write_shards
from gptlib.data.shards import INDEX, TokenShards, header, open_shards, verify_shards
from gptlib.data.windows import windows
from gptlib.errors import ConfigError, CorpusError, ShardError, TextTooShort
from gptlib.files import file_facts
from gptlib.model import GPT
from gptlib.training.evaluation import evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """One folder of shards, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("intact") / "shards"
    write_shards(DOCUMENTS, TOKENIZER, folder, 2)
    return folder


@pytest.fixture
def copy(intact, tmp_path):
    return Path(shutil.copytree(intact, tmp_path / "shards"))


# One line of ids


lines = st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=9), min_size=1, max_size=6)


def shards_of(parts):
    return TokenShards([np.array(part, dtype="<u2") for part in parts], 65_536, "of a test")


@given(parts=lines, data=st.data())
@settings(deadline=None)
def test_any_stretch_reads_as_if_there_were_no_files(parts, data):
    line = [i for part in parts for i in part]
    start = data.draw(st.integers(0, len(line)))
    length = data.draw(st.integers(0, len(line) - start))
    found = shards_of(parts).at(start, length)
    assert found.tolist() == line[start : start + length] and found.dtype == torch.int64
    assert len(shards_of(parts)) == len(line)


@given(parts=lines, context_length=st.integers(1, 12), stride=st.integers(1, 12) | st.none())
@settings(deadline=None)
def test_windows_are_those_of_a_tensor(parts, context_length, stride):
    line = torch.tensor([i for part in parts for i in part])
    try:
        expected = windows(line, context_length, stride)
    except TextTooShort as problem:
        with pytest.raises(TextTooShort) as caught:
            shards_of(parts).windows(context_length, stride)
        assert str(caught.value) == str(problem)
        return
    for ours, tensor in zip(
        shards_of(parts).windows(context_length, stride), expected, strict=True
    ):
        assert ours.shape == tensor.shape and len(ours) == len(tensor)
        assert ours.numel() == tensor.numel()
        assert torch.equal(ours[:], tensor) and torch.equal(ours[1:-1], tensor[1:-1])
        assert torch.equal(ours[::2], tensor[::2])
        rows = torch.randint(-len(tensor), len(tensor), (5,))
        assert torch.equal(ours[rows], tensor[rows])
        assert torch.equal(ours[0], tensor[0]) and torch.equal(ours[-1], tensor[-1])
        assert torch.equal(torch.stack(list(ours)), tensor)
        for size in (1, 3, 100):
            pieces = zip(ours.split(size), tensor.split(size), strict=True)
            assert all(torch.equal(a, b) for a, b in pieces)


def test_what_lies_beyond_the_ends_is_refused():
    shards = shards_of([[1, 2], [3, 4, 5]])
    for start, length in [(-1, 2), (4, 2), (6, 0), (0, 6), (2, -1)]:
        with pytest.raises(ConfigError, match=f"{length} ids from place {start} on .* the 5 that"):
            shards.at(start, length)
    x, y = shards.windows(2)
    assert len(x) == 2 == len(y)
    for row in (2, -3, torch.tensor([0, 2])):
        with pytest.raises(IndexError):
            x[row]
    for wrong in [(0, 1), (1, 0)]:
        with pytest.raises(ConfigError):
            shards.windows(*wrong)


def test_batches_and_validation_are_the_same_from_shards_and_from_memory(intact):
    line = open_shards(intact, "train")
    ours, theirs = line.windows(16), windows(line.at(0, len(line)), 16)
    batches = [Batches(*data, batch_size=5, seed=3) for data in (ours, theirs)]
    for position in range(0, 3 * len(theirs[0]), 7):
        found, expected = (batch.at(position) for batch in batches)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    config = {"vocab_size": TOKENIZER.vocab_size, "context_length": 16, "n_layers": 1}
    model = GPT(GPTConfig(**config, n_heads=1, width=8), seed=0)
    assert evaluate(model, *ours, batch_size=6) == evaluate(model, *theirs, batch_size=6)


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
