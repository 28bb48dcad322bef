"""Written shards: every id of every document, in order, in any number of files, or nothing."""

import os
import shutil
import signal
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writer import forked, killed_at, killed_by_chance
from shard_texts import DOCUMENTS, TOKENIZER, Numbers, contents

from gptlib import files
from gptlib.data import sharding
from gptlib.data.corpora import Corpus
from gptlib.data.sharding import write_shards
from gptlib.data.shards import open_shards, verify_shards
from gptlib.data.split import hash_place, split
from gptlib.errors import (
    ConfigError,
    CorpusError,
    FolderError,
    ShardError,
    TokenizerError,
    TokenOutOfRange,
)
from gptlib.files import lock
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer

SPLITS = ("train", "validation")


def joined(folder, name):
    """A split's ids by numpy alone: its files in the order of their names."""
    files = sorted(folder.glob(f"{name}-*.npy"))
    return np.concatenate([np.load(file, allow_pickle=False) for file in files]).tolist()


def ended(documents, tokenizer=TOKENIZER):
    """The ids that documents should have: each ends with the end of text."""
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    return [i for document in documents for i in [*tokenizer.encode(document), *end]]


def corpus_of(documents):
    return Corpus("test", list(documents), "", "")


texts = st.lists(st.text(max_size=30), min_size=2, max_size=50, unique=True)


@given(documents=texts, n_shards=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_shards_joined_are_the_ids_of_the_documents(tmp_path_factory, documents, n_shards):
    folder = tmp_path_factory.mktemp("any") / "shards"
    try:
        expected = dict(zip(SPLITS, split(corpus_of(documents)), strict=True))
    except CorpusError:
        with pytest.raises(CorpusError):
            write_shards(documents, TOKENIZER, folder, n_shards)
        assert not folder.exists()
        return
    index = write_shards(iter(documents), TOKENIZER, folder, n_shards)
    assert verify_shards(folder) == index
    for name in SPLITS:
        assert joined(folder, name) == ended(expected[name])
        assert open_shards(folder, name)[:].tolist() == ended(expected[name])
        assert index.splits[name] == {
            "documents": len(expected[name]),
            "text_bytes": sum(len(text.encode()) for text in expected[name]),
        }
    shutil.rmtree(folder)


@pytest.mark.parametrize("n_shards", [1, 2, 7, 20, 61, 10**6])
def test_shards_are_as_many_as_asked_for_and_equally_long(tmp_path, n_shards):
    documents = DOCUMENTS if n_shards < 10**6 else [str(n) for n in range(30)]
    index = write_shards(documents, TOKENIZER, tmp_path / "shards", n_shards)
    train = [shard.tokens for shard in index.of("train")]
    assert len(train) == min(n_shards, sum(train)) and max(train) - min(train) <= 1
    held_out = [shard.tokens for shard in index.of("validation")]
    assert max(held_out) <= max(train) and max(held_out) - min(held_out) <= 1
    assert [shard.file for shard in index.of("train")][:2] == [
        f"train-0000{n}.npy" for n in range(min(2, n_shards))
    ]


def test_each_document_stands_in_the_split_that_its_hash_decides(tmp_path):
    index = write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards", 3, test=0.2)
    for name, low, high in [("validation", -1, 0.1), ("test", 0.1, 0.1 + 0.2), ("train", 0.3, 1)]:
        documents = [text for text in DOCUMENTS if low < hash_place(text) <= high]
        assert documents and joined(tmp_path / "shards", name) == ended(documents)
        assert index.splits[name]["documents"] == len(documents)


def test_a_few_long_documents_are_cut_in_three(tmp_path):
    text = "".join(DOCUMENTS)
    write_shards([text], TOKENIZER, tmp_path / "shards", 3, test=0.1)
    parts = ["train", "validation", "test"]
    ids = [i for part in parts for i in joined(tmp_path / "shards", part)]
    assert TOKENIZER.decode(ids).replace("<|endoftext|>", "") == text
    sizes = [len(TOKENIZER.decode(joined(tmp_path / "shards", part))) for part in parts]
    assert [round(size / sum(sizes), 1) for size in sizes] == [0.8, 0.1, 0.1]


def test_a_huge_document_has_the_ids_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "SLAB", 1_000)
    huge = "the theme then the hem وحد نهار 🙂🙂  \n\n" * 800 + "x" * 5_000
    index = write_shards([*DOCUMENTS, huge], TOKENIZER, tmp_path / "shards", 4)
    name = "validation" if hash_place(huge) <= 0.1 else "train"
    expected = ended([huge])  # long: a plain == would spend minutes on showing a difference
    assert np.array_equal(joined(tmp_path / "shards", name)[-len(expected) :], expected)
    assert sum(facts["documents"] for facts in index.splits.values()) == 61


END = "<|endoftext|>"
STRANGE = ["<", "<|", "<|endof", "text|>", "|>", END[:-1], END, f"{END}{END}", f" {END} "]
strange = st.lists(st.sampled_from(STRANGE) | st.text(max_size=5), max_size=9).map("".join)


@pytest.mark.parametrize("special", [[END], [END, "<|"], ["<|pad|>", END], []])
@given(documents=st.lists(strange, max_size=5), slab=st.integers(1, 40))
@settings(deadline=None)
def test_what_looks_like_an_end_in_a_document_is_plain_text(special, documents, slab):
    tokenizer = BPETokenizer.train("".join(DOCUMENTS), 300, special)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "SLAB", slab)
        parted = [("train", document) for document in documents]
        found = [ids.tolist() for _, ids in sharding.tokenise(parted, tokenizer)]
    assert [i for ids in found for i in ids] == ended(documents, tokenizer)


def test_the_same_documents_give_the_same_bytes_whatever_the_threads(tmp_path, monkeypatch):
    expected = None
    for threads, slab in [(1, 1 << 18), (2, 100), (5, 1), (3, 777)]:
        monkeypatch.setattr(sharding.os, "cpu_count", lambda threads=threads: threads)
        monkeypatch.setattr(sharding, "SLAB", slab)
        write_shards(iter(DOCUMENTS), TOKENIZER, tmp_path / str(slab), 7, "some lines")
        expected = expected or contents(tmp_path / str(slab))
        assert contents(tmp_path / str(slab)) == expected and len(expected) == 9


def test_the_fingerprint_is_that_of_the_corpus(tmp_path):
    index = write_shards(iter(DOCUMENTS), TOKENIZER, tmp_path / "shards", source="lines")
    assert index.source == {"name": "lines", "fingerprint": corpus_of(DOCUMENTS).fingerprint}
    assert index.tokenizer["fingerprint"] == TOKENIZER.fingerprint


def test_a_tokenizer_without_end_of_text_puts_nothing_between(tmp_path):
    tokenizer = CharacterTokenizer.train(DOCUMENTS)
    index = write_shards(DOCUMENTS, tokenizer, tmp_path / "shards", 2)
    training, _ = split(corpus_of(DOCUMENTS))
    assert index.end_of_text is None
    assert joined(tmp_path / "shards", "train") == tokenizer.encode("".join(training))


@pytest.mark.parametrize(
    "vocab_size, dtype",
    [(65_535, "uint16"), (65_536, "uint16"), (65_537, "uint32"), (1 << 32, "uint32")],
)
def test_the_integer_type_follows_from_the_vocabulary(tmp_path, vocab_size, dtype):
    documents = [f"{n} 0 {vocab_size - 1}" for n in range(40)]
    tokenizer = Numbers(vocab_size)
    write_shards(documents, tokenizer, tmp_path / "shards", 2)
    assert np.load(tmp_path / "shards" / "train-00000.npy").dtype == dtype
    assert max(joined(tmp_path / "shards", "train")) == vocab_size - 1
    assert joined(tmp_path / "shards", "train") == ended(split(corpus_of(documents))[0], tokenizer)
    verify_shards(tmp_path / "shards")


@pytest.mark.parametrize("vocab_size", [0, -1, (1 << 32) + 1])
def test_a_vocabulary_that_fits_no_integer_type_is_refused_before_reading(tmp_path, vocab_size):
    with pytest.raises(ShardError, match=f"vocabulary of {vocab_size:,} tokens does not fit"):
        write_shards(iter(lambda: 1 / 0, 0), Numbers(vocab_size), tmp_path / "shards")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", ["65536", "70000", "-1", "4294967296", "99999999999999999999"])
def test_an_id_outside_the_vocabulary_is_refused(tmp_path, bad):
    documents = [*(str(n) for n in range(50)), f"1 {bad}"]
    with pytest.raises(TokenOutOfRange, match=f"token id {bad} is outside .* 65,536 tokens"):
        write_shards(documents, Numbers(65_536), tmp_path / "shards")
    assert not (tmp_path / "shards").exists() and not (tmp_path / ".shards.part").exists()


def test_numpy_would_have_written_the_same_header(tmp_path):
    write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards", 2)
    for path in (tmp_path / "shards").glob("*.npy"):
        np.save(tmp_path / "numpy.npy", np.load(path))
        assert path.read_bytes() == (tmp_path / "numpy.npy").read_bytes()


# Refused, and nothing left


def broken_off():
    yield from DOCUMENTS[:30]
    raise ConnectionResetError("the server hung up")


REFUSED = {
    "no document": ([], CorpusError, "leave a side empty"),
    "equal documents": (["same"] * 30, CorpusError, "the train split would be empty .equal doc"),
    "half a character": (["\ud800"], TokenizerError, "lone surrogate"),
    "a source that breaks off": (broken_off(), CorpusError, "broke off .the server hung up"),
}


@pytest.mark.parametrize("documents, error, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, documents, error, words):
    with pytest.raises(error, match=words) as caught:
        write_shards(documents, TOKENIZER, tmp_path / "shards")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] in ([], [".shards.part.lock"])


@pytest.mark.parametrize(
    "settings",
    [{"n_shards": 0}, {"validation": 0.0}, {"validation": 0.6, "test": 0.4}, {"test": -0.1}],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings):
    with pytest.raises(ConfigError):
        write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards", **settings)
    assert not (tmp_path / "shards").exists()


def test_a_folder_that_exists_is_left_as_it_is(tmp_path):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "thesis.txt").write_text("three years")
    with pytest.raises(FolderError, match="exists: give another folder"):
        write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards")
    assert (tmp_path / "shards" / "thesis.txt").read_text() == "three years"


def test_two_writers_do_not_meet(tmp_path):
    (tmp_path / ".shards.part").mkdir()
    (tmp_path / ".shards.part" / "train.ids").write_bytes(b"of the other")
    with (
        lock(tmp_path / ".shards.part"),
        pytest.raises(FolderError, match="being written by another process"),
    ):
        write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards")
    assert (tmp_path / ".shards.part" / "train.ids").read_bytes() == b"of the other"


@pytest.mark.parametrize("failing", ["tokenise", "file_facts", "sync"])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch, failing):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files if failing == "sync" else sharding, failing, full)
    with pytest.raises(FolderError, match=r"could not be written .*No space left.*make room"):
        write_shards(DOCUMENTS, TOKENIZER, tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == [".shards.part.lock"]


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "SLAB", 1 << 14)
    tracemalloc.start()
    try:
        lines = (f"{n} " + "7 8 9 " * 200 for n in range(3_000))  # 4 MB, and as much of ids
        write_shards(lines, Numbers(65_537), tmp_path / "shards", 3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3e6  # a block of 1 MB and its copy, and a few documents


def test_the_bar_is_shown_to_people_only(tmp_path, capsys, monkeypatch):
    for quiet in (True, False):
        monkeypatch.setattr(sharding.paths, "quiet", lambda quiet=quiet: quiet)
        write_shards(DOCUMENTS, TOKENIZER, tmp_path / str(quiet))
        assert ("tokenising" in capsys.readouterr().err) == (not quiet)


# Killed


MANY = [f"{n} {text}" for n in range(15) for text in DOCUMENTS]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")


def write_many(parent):
    return write_shards(iter(MANY), TOKENIZER, parent / "shards", 9)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed writer leaves, and the seconds that it takes."""
    parent = tmp_path_factory.mktemp("whole")
    started = time.perf_counter()
    assert os.waitpid(forked(write_many, parent), 0)[1] == 0
    return contents(parent / "shards"), time.perf_counter() - started


def check_after_kill(parent, expected):
    """Assert that a killed writer left nothing to trust, or everything; and the next does it."""
    if (parent / "shards").exists():
        assert contents(parent / "shards") == expected
        shutil.rmtree(parent / "shards")
        left = True
    else:
        left = False
    assert {path.name for path in parent.iterdir()} <= {".shards.part", ".shards.part.lock"}
    write_many(parent)
    assert contents(parent / "shards") == expected
    assert {path.name for path in parent.iterdir()} == {"shards", ".shards.part.lock"}
    return left


def by_chance(whole, folder, count):
    """Kill `count` writers, each at a moment of its own."""
    expected, seconds = whole
    check = partial(check_after_kill, expected=expected)
    killed_by_chance(write_many, check, seconds, folder, count)


@needs_fork
def test_ten_kills_by_chance_change_nothing(whole, tmp_path):
    by_chance(whole, tmp_path, 10)


@needs_fork
@pytest.mark.long
def test_fifty_kills_by_chance_change_nothing(whole, tmp_path):
    by_chance(whole, tmp_path, 50)


POINTS = {
    "before anything": (killed_at(sharding, "tokenise"), False),
    "ids written": (killed_at(sharding, "cut_into_shards"), False),
    "a shard written": (killed_at(sharding, "file_facts"), False),
    "the last shard written": (killed_at(sharding, "file_facts", 10, after=True), False),
    "before the rename": (killed_at(files.os, "rename"), False),
    "after the rename": (killed_at(files.os, "rename", after=True), True),
}


@needs_fork
@pytest.mark.parametrize("first, left", POINTS.values(), ids=POINTS)
def test_a_kill_at_each_fixed_point_changes_nothing(whole, tmp_path, first, left):
    assert os.waitpid(forked(write_many, tmp_path, first), 0)[1] == signal.SIGKILL
    assert check_after_kill(tmp_path, whole[0]) is left
