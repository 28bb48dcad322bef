"""Shards that are read: the ids that were written, or a named error; never other numbers."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import NO_OBJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_texts import DOCUMENTS, FILES, TOKENIZER, Numbers, mutations

from gptlib.config import GPTConfig
from gptlib.data import shard_index
from gptlib.data.batches import Batches
from gptlib.data.shard_index import INDEX, header
from gptlib.data.sharding import write_shards
from gptlib.data.shards import TokenShards, open_shards, verify_shards
from gptlib.data.windows import windows
from gptlib.errors import ConfigError, CorpusError, ShardError, TextTooShort
from gptlib.files import sealed_bytes, sha256_of
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
    for file, kind in mutations(copy, seed=0):
        with pytest.raises(ShardError, match=f"is damaged: .*{file}") as caught:
            verify_shards(copy)
        assert "\n" not in str(caught.value), (kind, file)
    verify_shards(copy)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder", "device"])
def test_only_plain_files_are_opened(copy, tmp_path, file, kind):
    (copy / file).rename(tmp_path / file)
    if kind == "symlink":
        (copy / file).symlink_to(tmp_path / file)
    elif kind == "fifo":
        os.mkfifo(copy / file)  # opening it would wait for ever
    elif kind == "folder":
        (copy / file).mkdir()
    else:
        (copy / file).symlink_to("/dev/zero")
    for read in (verify_shards, lambda folder: open_shards(folder, "train")):
        with pytest.raises(ShardError, match=f"{file} is not a plain file"):
            read(copy)


def test_a_folder_that_is_a_link_or_missing_is_refused(intact, tmp_path):
    (tmp_path / "link").symlink_to(intact)
    for name in ("link", "nothing"):
        with pytest.raises(ShardError, match="missing, a link or a file, not a folder"):
            verify_shards(tmp_path / name)


def test_an_added_file_is_named(copy):
    (copy / "extra\n.npy").write_bytes(b"")
    for read in (verify_shards, lambda folder: open_shards(folder, "train")):
        with pytest.raises(ShardError, match=r"files 'extra\\n\.npy' are missing or added"):
            read(copy)


# Damage with the hashes made to fit: what a wrong writer, or someone who means it, would leave


def reseal(folder, change):
    """Change what the index says, and seal it again."""
    values = json.loads((folder / INDEX).read_bytes())
    del values["sha256"]
    change(values)
    (folder / INDEX).write_bytes(sealed_bytes(values))


def put(folder, content):
    """Replace the first shard, with its facts in the index."""
    (folder / FILES[0]).write_bytes(content)
    facts = {"bytes": len(content), "sha256": sha256_of(folder / FILES[0])}
    reseal(folder, lambda values: values["shards"][0].update(facts))


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


OUTSIDE = ["../{}", "/etc/passwd", "sub/{}", "..", "", "a\nb", "C:\\{}", "train-00007.npy", INDEX]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_cannot_list_what_is_not_a_shard_of_its_folder(copy, name):
    (copy / "sub").mkdir()
    for place in (copy.parent, copy / "sub"):
        shutil.copy(copy / FILES[0], place)
    name = name.format(FILES[0])
    reseal(copy, lambda values: values["shards"][0].update(file=name))
    refused(copy, "makes no sense")


def swap_splits(values):
    """Say of a training file that it is for validation, and the other way round."""
    values["shards"] = values["shards"][1:]  # one of each is left
    values["shards"][0].update(file="train-00000.npy", split="validation")
    values["shards"][1].update(split="train")


def first(**facts):
    """A change of what the index says about the first shard."""
    return lambda values: values["shards"][0].update(facts)


NONSENSE = {
    "no list": lambda values: values.pop("shards"),
    "a number for a list": lambda values: values.update(shards=3),
    "a shard without facts": lambda values: values["shards"].append(None),
    "a fact too many": first(note="?"),
    "a fact too few": lambda values: values["shards"][0].pop("sha256"),
    "a size of its own": first(bytes=7),
    "a size in words": first(bytes="12"),
    "no ids": first(tokens=0, bytes=128),
    "less than no ids": first(tokens=-1, bytes=126),
    "true for a number": first(tokens=True, bytes=130),
    "half an id": first(tokens=1.5, bytes=131),
    "another split": first(split="validation"),
    "two splits swapped": swap_splits,
    "a list for a split": first(split=["train"]),
    "a number for a name": first(file=7),
    "a number for a hash": first(sha256=12),
    "a short hash": first(sha256="abc"),
    "a file twice": lambda values: values["shards"].append(values["shards"][0]),
    "no vocabulary": lambda values: values.update(vocab_size=0),
    "half a vocabulary": lambda values: values.update(vocab_size=300.5, end_of_text=None),
    "a vocabulary of another type": lambda values: values.update(vocab_size=65_537),
    "a vocabulary that fits no type": lambda values: values.update(vocab_size=1 << 33),
    "an end outside": lambda values: values.update(end_of_text=300),
    "an end in words": lambda values: values.update(end_of_text="<|endoftext|>"),
    "an entry too many": lambda values: values.update(note="?"),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_an_index_that_makes_no_sense_is_named_though_its_seal_is_right(copy, change):
    reseal(copy, change)
    refused(copy, "is damaged: shards.json makes no sense")


def test_another_version_is_named(copy):
    reseal(copy, lambda values: values.update(version=2))
    refused(copy, "has version 2, this gptlib reads 1: use the gptlib that wrote it")


@pytest.mark.parametrize("content", NO_OBJECT.values(), ids=NO_OBJECT)
def test_an_index_that_is_none_is_named(copy, content):
    (copy / INDEX).write_bytes(content)
    refused(copy, r"shards\.json cannot be read")


def test_an_index_that_is_too_large_is_not_read(copy, monkeypatch):
    monkeypatch.setattr(shard_index, "LARGEST_INDEX", 100)
    refused(copy, r"shards\.json has [\d,]+ bytes, not at most 100")
