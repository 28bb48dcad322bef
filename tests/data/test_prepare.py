"""A prepared folder: every step in its order, the whole of it or nothing, the same bytes again."""

import json
import os
import shutil
import signal
import sys
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writer import forked, killed_at, killed_by_chance
from shard_texts import DOCUMENTS, TOKENIZER, Numbers, contents
from test_split import naive_overlap

from gptlib import files
from gptlib.data import shards, split
from gptlib.data.cleaning import text_cleaner
from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.prepare import open_prepared, prepare, read_report
from gptlib.data.split import SPLITS, hash_fraction, split_documents, split_of
from gptlib.errors import (
    ConfigError,
    CorpusError,
    FolderError,
    ShardError,
    TokenizerError,
    TokenOutOfRange,
)
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer

MODULE = sys.modules["gptlib.data.prepare"]  # the package's name for it is the function's
PASSAGE = "a passage that two of the documents quote, word for word, as people do with proverbs: "
NOISY = [
    *(f"  document {n}:  {text}\u200f" for n, text in enumerate(DOCUMENTS * 3)),
    *("no", "!", DOCUMENTS[3], DOCUMENTS[3]),
    *(f"{n}. {PASSAGE} {n}" for n in range(30)),
]
SIZE = 300


def joined(folder, name):
    """A split's ids by numpy alone: its files in the order of their names."""
    paths = sorted((folder / "shards").glob(f"{name}-*.npy"))
    return np.concatenate([np.load(path, allow_pickle=False) for path in paths]).tolist()


def ended(documents, tokenizer=TOKENIZER):
    """The ids that documents should have: each ends with the end of text, if there is one."""
    end = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    return [i for document in documents for i in [*tokenizer.encode(document), *end]]


def counts_of(documents):
    return {
        "documents": len(documents),
        "text_bytes": sum(len(text.encode()) for text in documents),
    }


# What a folder holds


@pytest.mark.parametrize("tokenizer", [TOKENIZER, SIZE], ids=["given", "trained"])
@pytest.mark.parametrize("cleaner", [None, text_cleaner], ids=["as they come", "cleaned"])
def test_a_folder_holds_what_each_step_by_hand_gives(tmp_path, tokenizer, cleaner):
    cleaned = list(cleaner().clean(NOISY)) if cleaner else NOISY
    sides, made = split_documents(cleaned), tokenizer
    if isinstance(tokenizer, int):
        made = BPETokenizer.train(sides[0], tokenizer, [END_OF_TEXT], fast=True)
    index, _ = prepare(iter(NOISY), tmp_path / "out", tokenizer, cleaner and cleaner(), 3, "lines")
    prepared = open_prepared(tmp_path / "out")
    assert prepared.tokenizer.fingerprint == made.fingerprint and prepared.index == index
    for name, documents in zip(["train", "validation"], sides, strict=True):
        assert joined(tmp_path / "out", name) == ended(documents, made)
        assert index.splits[name] == counts_of(documents)
    fingerprint = Corpus("", cleaned, "", "").fingerprint
    assert index.source == {"name": "lines", "fingerprint": fingerprint}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "shards", "tokenizer")
    }


texts = st.lists(st.text(max_size=30), min_size=2, max_size=50, unique=True)


@given(documents=texts, n_shards=st.integers(1, 30))
@settings(max_examples=15, deadline=None)
def test_shards_joined_are_the_ids_of_the_documents(tmp_path_factory, documents, n_shards):
    folder = tmp_path_factory.mktemp("any") / "out"
    try:
        sides = split_documents(documents)
    except CorpusError:
        with pytest.raises(CorpusError):
            prepare(documents, folder, TOKENIZER, None, n_shards)
        assert not folder.exists()
        return
    index, _ = prepare(iter(documents), folder, TOKENIZER, None, n_shards)
    for name, side in zip(SPLITS, sides, strict=False):
        assert joined(folder, name) == ended(side) and index.splits[name] == counts_of(side)
        assert open_prepared(folder).tokens(name)[:].tolist() == ended(side)


@pytest.mark.parametrize("n_shards", [1, 2, 7, 20, 61, 10**6])
def test_shards_are_as_many_as_asked_for_and_equally_long(tmp_path, n_shards):
    documents = DOCUMENTS if n_shards < 10**6 else [str(n) for n in range(30)]
    index, _ = prepare(documents, tmp_path / "out", TOKENIZER, None, n_shards)
    train, held_out = ([s.tokens for s in index.of(split)] for split in SPLITS[:2])
    assert len(train) == min(n_shards, sum(train)) and max(train) - min(train) <= 1
    assert max(held_out) <= max(train) and max(held_out) - min(held_out) <= 1
    assert index.of("train")[0].file == "train-00000.npy"


def test_each_document_stands_in_the_split_that_its_hash_decides(tmp_path):
    index, _ = prepare(DOCUMENTS, tmp_path / "out", TOKENIZER, None, 3, test=0.2)
    for name, low, high in [("validation", -1, 0.1), ("test", 0.1, 0.1 + 0.2), ("train", 0.3, 1)]:
        documents = [text for text in DOCUMENTS if low < hash_fraction(text) <= high]
        assert documents and joined(tmp_path / "out", name) == ended(documents)
        assert index.splits[name] == counts_of(documents)


def test_a_few_long_documents_are_cut_in_three(tmp_path):
    text = "".join(DOCUMENTS)
    prepare([text], tmp_path / "out", TOKENIZER, None, 3, test=0.1)
    parts = [TOKENIZER.decode(joined(tmp_path / "out", name)) for name in SPLITS]
    parts = [part.removesuffix(END_OF_TEXT) for part in parts]
    assert "".join(parts) == text
    assert [round(len(part) / len(text), 1) for part in parts] == [0.8, 0.1, 0.1]


def test_a_huge_document_has_the_ids_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BATCH", 1_000)
    huge = "the theme then the hem وحد نهار 🙂🙂  \n\n" * 800 + "x" * 5_000
    index, _ = prepare([*DOCUMENTS, huge], tmp_path / "out", TOKENIZER, None, 4)
    expected = ended([huge])  # long: a plain == would spend minutes on showing a difference
    found = joined(tmp_path / "out", split_of(huge))[-len(expected) :]
    assert np.array_equal(found, expected)
    assert sum(held["documents"] for held in index.splits.values()) == 61


STRANGE = ["<", "<|", "<|endof", "text|>", "|>", END_OF_TEXT[:-1], END_OF_TEXT, f" {END_OF_TEXT} "]
strange = st.lists(st.sampled_from(STRANGE) | st.text(max_size=5), max_size=9).map("".join)


@pytest.mark.parametrize(
    "special", [[END_OF_TEXT], [END_OF_TEXT, "<|"], ["<|pad|>", END_OF_TEXT], []]
)
def test_what_looks_like_an_end_in_a_document_is_plain_text(special):
    tokenizer = BPETokenizer.train("".join(DOCUMENTS), 300, special)

    @given(documents=st.lists(strange, max_size=5), size=st.integers(1, 40))
    @settings(deadline=None)
    def check(documents, size):
        counts = {"train": {"documents": 0, "text_bytes": 0}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shards, "BATCH", size)
            batches = shards.batches((("train", document) for document in documents), counts)
            found = [shards.encode_batch(tokenizer, batch) for _, batch in batches]
        assert [i for ids in found for i in ids] == ended(documents, tokenizer)
        assert counts["train"] == counts_of(documents)

    check()


def test_the_same_documents_give_the_same_bytes_whatever_the_threads(tmp_path, monkeypatch):
    found = []
    for threads, size in [(1, 1 << 18), (2, 100), (5, 1), (3, 777)]:
        monkeypatch.setattr(shards.os, "cpu_count", lambda threads=threads: threads)
        monkeypatch.setattr(shards, "BATCH", size)
        prepare(iter(DOCUMENTS), tmp_path / str(size), TOKENIZER, None, 7, "some lines")
        found.append(contents(tmp_path / str(size)))
    assert found == [found[0]] * 4 and len(found[0]) == 12


def test_a_tokenizer_without_end_of_text_puts_nothing_between_and_compares_nothing(tmp_path):
    tokenizer = CharacterTokenizer.train(DOCUMENTS)
    index, report = prepare(DOCUMENTS, tmp_path / "out", tokenizer)
    assert index.end_of_text is None and report["shared_spans"] is None
    assert read_report(tmp_path / "out")["shared_spans"] is None
    training, _ = split_documents(DOCUMENTS)
    assert joined(tmp_path / "out", "train") == tokenizer.encode("".join(training))
    assert open_prepared(tmp_path / "out").tokenizer.fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize(
    "vocab_size, dtype",
    [(65_535, "uint16"), (65_536, "uint16"), (65_537, "uint32"), (1 << 32, "uint32")],
)
def test_the_integer_type_follows_from_the_vocabulary(tmp_path, vocab_size, dtype):
    documents = [f"{n} 0 {vocab_size - 1}" for n in range(40)]
    prepare(documents, tmp_path / "out", Numbers(vocab_size), None, 2)
    for path in (tmp_path / "out" / "shards").glob("*.npy"):
        ids = np.load(path)
        np.save(tmp_path / "numpy.npy", ids)
        assert path.read_bytes() == (tmp_path / "numpy.npy").read_bytes()
        assert ids.dtype == dtype and ids.max() == vocab_size - 1


def test_the_report_says_what_was_cleaned_away_and_what_is_shared(tmp_path):
    _, report = prepare(
        NOISY, tmp_path / "out", TOKENIZER, text_cleaner(), source="some lines", test=0.1
    )
    told = read_report(tmp_path / "out")
    assert told == json.loads(json.dumps(report))
    assert told["source"]["name"] == "some lines"
    dropped = {step["name"]: step["dropped"] for step in told["cleaning"]["steps"]}
    assert dropped["under 5 characters"] == 2 and dropped["exact duplicates"] == 1
    assert told["cleaning"]["documents_in"] == len(NOISY)
    documents = sum(counts["documents"] for counts in told["splits"].values())
    assert told["cleaning"]["documents_out"] == documents == len(NOISY) - 3
    for name in ("validation", "test"):
        assert told["shared_spans"][name]["of"] == told["splits"][name]["documents"]


@given(
    chosen=st.lists(st.integers(0, len(NOISY) - 1), min_size=25, unique=True),
    test=st.sampled_from([0.0, 0.2]),
)
@settings(max_examples=8, deadline=None)
def test_held_out_documents_that_share_a_span_are_counted_and_dropped(
    tmp_path_factory, chosen, test
):
    documents, out = [NOISY[n] for n in sorted(chosen)], tmp_path_factory.mktemp("shared") / "out"
    sides = {name: [] for name in SPLITS[: 3 if test else 2]}
    for text in documents:
        sides[split_of(text, 0.2, test)].append(text)
    if not all(sides.values()):
        return  # a share that is too small for so few
    encoded = {name: [TOKENIZER.encode(text) for text in side] for name, side in sides.items()}
    expected, kept = {}, {"train": sides["train"]}
    for name in list(sides)[1:]:
        numbers, places = naive_overlap(encoded["train"], encoded[name])
        found = {"documents": len(numbers), "of": len(sides[name]), "places": places}
        expected[name] = {**found, "dropped": True, "tokens": 20}
        kept[name] = [text for n, text in enumerate(sides[name]) if n not in numbers]
    shares = {"validation": 0.2, "test": test, "drop_shared": True}
    if not all(kept.values()):
        with pytest.raises(CorpusError, match="share 20 tokens in a row with training: keep them"):
            prepare(documents, out, TOKENIZER, None, 2, **shares)
        assert not out.exists()
        return
    index, report = prepare(documents, out, TOKENIZER, None, 2, **shares)
    assert report["shared_spans"] == expected
    for name, remaining in kept.items():
        assert joined(out, name) == ended(remaining)
        assert index.splits[name] == counts_of(remaining)


@pytest.mark.parametrize("name", ["sample-articles", "sample-darija", "sample-story"])
def test_the_bundled_samples_share_no_span_between_their_splits(tmp_path, name):
    documents = load_corpus(name).documents
    if name == "sample-story":
        documents = documents[0].split("\n\n")
    _, report = prepare(documents, tmp_path / "out", 2000)
    shared = report["shared_spans"]["validation"]
    assert shared["documents"] == shared["places"] == 0


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "BATCH", 1 << 14)
    monkeypatch.setattr(split, "IDS", 1 << 13)

    def peak(number, n):
        lines = (f"{n} " + "seven eight nine " * 80 for n in range(n))  # 1.4 kB each
        tracemalloc.start()
        try:
            prepare(lines, tmp_path / str(number), 260)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    _, small, large = (peak(number, n) for number, n in enumerate([300, 800, 3200]))
    assert large < small + 1.5e6  # of 3.3 MB more of text and 5 MB more of ids


def test_the_bar_is_shown_to_people_only(tmp_path, capsys, monkeypatch):
    for quiet in (True, False):
        monkeypatch.setattr(shards.environment, "quiet", lambda quiet=quiet: quiet)
        prepare(DOCUMENTS, tmp_path / str(quiet), TOKENIZER)
        assert ("tokenizing" in capsys.readouterr().err) == (not quiet)


# Refused, and nothing left


def unread():
    raise AssertionError("a document was read")
    yield


def broken_off():
    yield from DOCUMENTS[:40]
    raise ConnectionResetError("the server hung up")


def interrupted():
    yield from DOCUMENTS[:40]
    raise KeyboardInterrupt


SAME = [f"{PASSAGE}{n}" for n in range(60)]
LETTERS = CharacterTokenizer.train(DOCUMENTS)
REFUSED = {
    "no shards": ({"documents": unread(), "n_shards": 0}, ConfigError, "0 shards cannot be"),
    "no shards, trained": (
        {"documents": unread(), "tokenizer": SIZE, "n_shards": 0},
        *(ConfigError, "0 shards cannot be"),
    ),
    "no validation": ({"validation": 0.0}, ConfigError, "validation 0.0 and test"),
    "shares": ({"documents": unread(), "validation": 0.5, "test": 0.5}, ConfigError, "and test"),
    "small": ({"documents": unread(), "tokenizer": 256}, TokenizerError, "vocab_size 256"),
    "huge": ({"documents": unread(), "tokenizer": 10**7}, TokenizerError, "is above 1,000,000"),
    "wide": ({"documents": unread(), "tokenizer": Numbers(2**32 + 1)}, ShardError, "does not fit"),
    "empty": ({"documents": unread(), "tokenizer": Numbers(0)}, ShardError, "of 0 tokens does not"),
    "no end": (
        {"documents": unread(), "tokenizer": LETTERS, "drop_shared": True},
        *(ConfigError, "characters has no end of text"),
    ),
    "no document": ({"documents": []}, CorpusError, "no document is left of the 0"),
    "all dropped": (
        {"documents": ["!"] * 9, "cleaner": text_cleaner()},
        *(CorpusError, "no document is left of the 9"),
    ),
    "equal": ({"documents": ["same"] * 30}, CorpusError, "train split would be empty .equal doc"),
    "half a character": ({"documents": ["x" * 99, "\ud800"]}, TokenizerError, "lone surrogate"),
    "broken off": ({"documents": broken_off()}, CorpusError, "broke off .the server hung up"),
    "broken off in training": (
        {"documents": broken_off(), "tokenizer": SIZE},
        *(CorpusError, "broke off .the server hung up"),
    ),
    "Ctrl-C": ({"documents": interrupted(), "tokenizer": SIZE}, KeyboardInterrupt, "^$"),
    "all shared": ({"documents": SAME, "drop_shared": True}, CorpusError, "all .* share 20 tokens"),
    **{
        f"id {bad}": (
            {"documents": [*map(str, range(50)), f"1 {bad}"], "tokenizer": Numbers(65_536)},
            *(TokenOutOfRange, f"token id {bad} is outside .* 65,536 tokens"),
        )
        for bad in ("65536", "70000", "-1", "4294967296")
    },
}


@pytest.mark.parametrize("choices, error, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_prepared_is_named_and_leaves_nothing(tmp_path, choices, error, words):
    usual = {"documents": DOCUMENTS, "folder": tmp_path / "out", "tokenizer": TOKENIZER}
    with pytest.raises(error, match=words) as caught:
        prepare(**usual | choices)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {".out.part.lock"}


def test_a_folder_that_exists_is_left_as_it_is_and_nothing_is_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years")
    with pytest.raises(FolderError, match="exists: give another folder"):
        prepare(unread(), tmp_path / "out", TOKENIZER)
    assert contents(tmp_path) == {"out/thesis.txt": b"three years"}


FAILING = {
    "documents wait": (MODULE, "spool"),
    "ids": (shards, "batch_bytes"),
    "spans": (MODULE, "drop_overlapping"),
    "shards": (shards, "file_facts"),
    "tokenizer": (BPETokenizer, "save"),
    "report": (MODULE, "write_manifest"),
    "folder": (files, "sync"),
}


@pytest.mark.parametrize("module, name", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("kind", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_anywhere_leaves_nothing(tmp_path, monkeypatch, module, name, kind):
    def failing(*arguments):
        raise kind

    monkeypatch.setattr(module, name, failing)
    with pytest.raises((FolderError, KeyboardInterrupt), match=r"No space left.*make room|^$"):
        prepare(NOISY, tmp_path / "out", SIZE, text_cleaner(), drop_shared=True)
    assert [path.name for path in tmp_path.iterdir()] == [".out.part.lock"]


# Killed


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")


def prepare_many(parent):
    prepare(iter(NOISY * 3), parent / "out", SIZE, text_cleaner(), 5, "noisy", drop_shared=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed `prepare` leaves, and the seconds that it takes."""
    parent = tmp_path_factory.mktemp("whole")
    started = time.perf_counter()
    assert os.waitpid(forked(prepare_many, parent), 0)[1] == 0
    assert read_report(parent / "out")["shared_spans"]["validation"]["documents"] > 0
    return contents(parent / "out"), time.perf_counter() - started


def check_after_kill(parent, expected):
    """Assert that a kill left nothing to trust, or everything; and that the next run does it."""
    left = (parent / "out").exists()
    if left:
        assert contents(parent / "out") == expected
        shutil.rmtree(parent / "out")
    assert {path.name for path in parent.iterdir()} <= {".out.part", ".out.part.lock"}
    prepare_many(parent)
    assert contents(parent / "out") == expected
    assert {path.name for path in parent.iterdir()} == {"out", ".out.part.lock"}
    return left


@needs_fork
@pytest.mark.parametrize("count", [8, pytest.param(50, marks=pytest.mark.long)])
def test_kills_by_chance_change_nothing(whole, tmp_path, count):
    expected, seconds = whole
    check = partial(check_after_kill, expected=expected)
    killed_by_chance(prepare_many, check, seconds, tmp_path, count)


POINTS = {
    "a folder made": (killed_at(MODULE, "spool"), False),
    "documents wait": (killed_at(MODULE, "spool", after=True), False),
    "vocabulary trained": (killed_at(BPETokenizer, "train", after=True), False),
    "ids written": (killed_at(MODULE, "write_ids", after=True), False),
    "documents left out": (killed_at(MODULE, "drop_overlapping", after=True), False),
    "a shard written": (killed_at(shards, "file_facts"), False),
    "shards written": (killed_at(MODULE, "cut_shards", after=True), False),
    "report begun": (killed_at(MODULE, "write_manifest"), False),
    "before the rename": (killed_at(files.os, "rename"), False),
    "after the rename": (killed_at(files.os, "rename", after=True), True),
}


@needs_fork
@pytest.mark.parametrize("first, left", POINTS.values(), ids=POINTS)
def test_a_kill_at_each_fixed_point_changes_nothing(whole, tmp_path, first, left):
    assert os.waitpid(forked(prepare_many, tmp_path, first), 0)[1] == signal.SIGKILL
    assert check_after_kill(tmp_path, whole[0]) is left
