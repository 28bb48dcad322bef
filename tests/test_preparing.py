"""A prepared folder: every step in its order, the whole of it or nothing, the same bytes again."""

import json
import os
import shutil
import signal
import time
import tracemalloc
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writer import forked, killed_at, killed_by_chance
from shard_texts import DOCUMENTS, TOKENIZER, Numbers
from test_overlap import naive

from gptlib import files
from gptlib.data import overlap, preparing, sharding
from gptlib.data.cleaning import text_cleaner
from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.prepared import open_prepared, read_report
from gptlib.data.preparing import prepare
from gptlib.data.split import split, split_of
from gptlib.errors import ConfigError, CorpusError, FolderError, ShardError, TokenizerError
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer

PASSAGE = "a passage that two of the documents quote, word for word, as people do with proverbs: "
NOISY = [
    *(f"  document {n}:  {text}\u200f" for n, text in enumerate(DOCUMENTS * 3)),
    *("no", "!", DOCUMENTS[3], DOCUMENTS[3]),
    *(f"{n}. {PASSAGE} {n}" for n in range(30)),
]
SIZE = 300


def every_file(folder):
    """The bytes of every file under a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def by_hand(documents, tokenizer, cleaner=None):
    """The ids of the documents of both splits, by the parts of the package in their order."""
    cleaned = list(cleaner.clean(documents)) if cleaner else list(documents)
    parts = split(Corpus("by hand", cleaned, "", ""))
    if isinstance(tokenizer, int):
        tokenizer = BPETokenizer.train(parts[0], tokenizer, [END_OF_TEXT], fast=True)
    return [[tokenizer.encode(text) for text in part] for part in parts], parts, tokenizer


def ids_in(prepared, name):
    tokens = prepared.tokens(name)
    return tokens[:].tolist()


def ended(encoded, tokenizer):
    return [i for ids in encoded for i in [*ids, tokenizer.end_of_text]]


@pytest.mark.parametrize("tokenizer", [TOKENIZER, SIZE], ids=["given", "trained"])
@pytest.mark.parametrize("cleaner", [None, text_cleaner], ids=["as they come", "cleaned"])
def test_a_folder_holds_what_each_step_by_hand_gives(tmp_path, tokenizer, cleaner):
    expected, parts, made = by_hand(NOISY, tokenizer, cleaner and cleaner())
    report = prepare(iter(NOISY), tmp_path / "out", tokenizer, cleaner and cleaner(), 3)
    prepared = open_prepared(tmp_path / "out")
    assert prepared.tokenizer.fingerprint == made.fingerprint and prepared.index == report.index
    for name, encoded, part in zip(["train", "validation"], expected, parts, strict=True):
        assert ids_in(prepared, name) == ended(encoded, made)
        size = sum(len(text.encode()) for text in part)
        assert prepared.index.splits[name] == {"documents": len(part), "text_bytes": size}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("report.json", "shards", "tokenizer")
    ]


def test_a_vocabulary_is_trained_without_a_look_at_what_is_held_out(tmp_path):
    held_out = [text for text in NOISY if split_of(text) == "validation"]
    strange = [text.replace("document", "ʘʘʘʘʘʘ") for text in NOISY]
    strange = [text for text in strange if split_of(text) == "validation"]
    training = [text for text in NOISY if text not in held_out]
    fingerprints = []
    for number, part in enumerate((held_out, strange)):
        prepare([*training, *part], tmp_path / str(number), SIZE)
        fingerprints.append(open_prepared(tmp_path / str(number)).tokenizer.fingerprint)
    assert held_out and strange and len(set(fingerprints)) == 1


def test_the_report_says_what_was_cleaned_away_and_what_is_shared(tmp_path):
    cleaner = text_cleaner()
    report = prepare(NOISY, tmp_path / "out", TOKENIZER, cleaner, source="some lines", test=0.1)
    told = read_report(tmp_path / "out")
    assert told == json.loads(json.dumps(report.to_dict()))
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
    documents, folder = [NOISY[n] for n in sorted(chosen)], tmp_path_factory.mktemp("shared")
    parts = {name: [] for name in ("train", "validation", "test")[: 3 if test else 2]}
    for text in documents:
        parts[split_of(text, 0.2, test)].append(text)
    encoded = {name: [TOKENIZER.encode(text) for text in part] for name, part in parts.items()}
    if not all(parts.values()):
        return  # a share that is too small for so few
    kept, empty = {"train": encoded["train"]}, False
    for name in list(parts)[1:]:
        numbers, places = naive(encoded["train"], encoded[name])
        kept[name] = [ids for n, ids in enumerate(encoded[name]) if n not in numbers]
        empty = empty or not kept[name]
    if empty:
        with pytest.raises(CorpusError, match="share 20 tokens in a row with training: keep them"):
            prepare(documents, folder / "out", TOKENIZER, None, 2, "", 0.2, test, True)
        assert not (folder / "out").exists()
        return
    prepare(documents, folder / "out", TOKENIZER, None, 2, "", 0.2, test, drop_shared=True)
    prepared, told = open_prepared(folder / "out"), read_report(folder / "out")
    for name, remaining in kept.items():
        assert ids_in(prepared, name) == ended(remaining, TOKENIZER)
        assert prepared.index.splits[name] == {
            "documents": len(remaining),
            "text_bytes": sum(len(TOKENIZER.decode_bytes(ids)) for ids in remaining),
        }
    for name in list(parts)[1:]:
        numbers, places = naive(encoded["train"], encoded[name])
        assert told["shared_spans"][name] == {
            **{"documents": len(numbers), "of": len(parts[name]), "places": places},
            **{"dropped": True, "tokens": 20},
        }


@pytest.mark.parametrize("name", ["sample-articles", "sample-darija", "sample-story"])
def test_the_bundled_samples_share_no_span_between_their_splits(tmp_path, name):
    documents = load_corpus(name).documents
    if name == "sample-story":
        documents = documents[0].split("\n\n")
    report = prepare(documents, tmp_path / "out", 2000)
    assert report.shared["validation"].documents == report.shared["validation"].places == 0


def test_a_tokenizer_without_end_of_text_is_taken_but_its_spans_are_not_compared(tmp_path):
    tokenizer = CharacterTokenizer.train(DOCUMENTS)
    assert prepare(DOCUMENTS, tmp_path / "out", tokenizer).shared is None
    assert read_report(tmp_path / "out")["shared_spans"] is None
    with pytest.raises(ConfigError, match="characters has no end of text"):
        prepare(DOCUMENTS, tmp_path / "other", tokenizer, drop_shared=True)


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "SLAB", 1 << 14)
    monkeypatch.setattr(overlap, "IDS", 1 << 13)

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
REFUSED = {
    "no shards": ({"documents": unread(), "n_shards": 0}, ConfigError, "n_shards is 0"),
    "no shards, trained": (
        {"documents": unread(), "tokenizer": SIZE, "n_shards": 0},
        *(ConfigError, "n_shards is 0"),
    ),
    "no validation": ({"validation": 0.0}, ConfigError, "validation 0.0 and test"),
    "shares": ({"documents": unread(), "validation": 0.5, "test": 0.5}, ConfigError, "and test"),
    "small": ({"documents": unread(), "tokenizer": 256}, TokenizerError, "vocab_size 256"),
    "negative": ({"documents": unread(), "tokenizer": -1}, TokenizerError, "vocab_size -1"),
    "huge": ({"documents": unread(), "tokenizer": 10**7}, TokenizerError, "is above 1,000,000"),
    "wide": ({"documents": unread(), "tokenizer": Numbers(1 << 33)}, ShardError, "does not fit"),
    "no document": ({"documents": []}, CorpusError, "no document is left of the 0"),
    "all dropped": (
        {"documents": ["!"] * 9, "cleaner": text_cleaner()},
        *(CorpusError, "no document is left of the 9"),
    ),
    "half a character": ({"documents": ["x" * 99, "\ud800"]}, TokenizerError, "lone surrogate"),
    "broken off": ({"documents": broken_off()}, CorpusError, "broke off .the server hung up"),
    "broken off in training": (
        {"documents": broken_off(), "tokenizer": SIZE},
        *(CorpusError, "broke off .the server hung up"),
    ),
    "Ctrl-C": ({"documents": interrupted(), "tokenizer": SIZE}, KeyboardInterrupt, "^$"),
    "all shared": ({"documents": SAME, "drop_shared": True}, CorpusError, "all .* share 20 tokens"),
}


@pytest.mark.parametrize("choices, error, words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_prepared_is_named_and_leaves_nothing(tmp_path, choices, error, words):
    with pytest.raises(error, match=words) as caught:
        prepare(
            **{"documents": DOCUMENTS, "folder": tmp_path / "out", "tokenizer": TOKENIZER} | choices
        )
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {".out.part.lock"}


def test_a_folder_that_exists_is_left_as_it_is_and_nothing_is_read(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years")
    with pytest.raises(FolderError, match="exists: give another folder"):
        prepare(unread(), tmp_path / "out", TOKENIZER)
    assert every_file(tmp_path) == {"out/thesis.txt": b"three years"}


FAILING = {
    "documents wait": (preparing, "let_wait"),
    "ids": (sharding, "tokenise"),
    "spans": (preparing, "drop_documents"),
    "shards": (sharding, "file_facts"),
    "tokenizer": (BPETokenizer, "save"),
    "report": (preparing, "write_manifest"),
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
    return every_file(parent / "out"), time.perf_counter() - started


def check_after_kill(parent, expected):
    """Assert that a kill left nothing to trust, or everything; and that the next run does it."""
    left = (parent / "out").exists()
    if left:
        assert every_file(parent / "out") == expected
        shutil.rmtree(parent / "out")
    assert {path.name for path in parent.iterdir()} <= {".out.part", ".out.part.lock"}
    prepare_many(parent)
    assert every_file(parent / "out") == expected
    assert {path.name for path in parent.iterdir()} == {"out", ".out.part.lock"}
    return left


@needs_fork
@pytest.mark.long
def test_fifty_kills_by_chance_change_nothing(whole, tmp_path):
    expected, seconds = whole
    check = partial(check_after_kill, expected=expected)
    killed_by_chance(prepare_many, check, seconds, tmp_path, 50)


POINTS = {
    "a folder made": (killed_at(preparing, "let_wait"), False),
    "documents wait": (killed_at(preparing, "let_wait", after=True), False),
    "vocabulary trained": (killed_at(preparing.BPETokenizer, "train", after=True), False),
    "ids written": (killed_at(preparing, "gather_ids", after=True), False),
    "documents left out": (killed_at(preparing, "drop_documents", after=True), False),
    "shards written": (killed_at(preparing, "shards_of", after=True), False),
    "report begun": (killed_at(preparing, "write_manifest"), False),
    "before the rename": (killed_at(files.os, "rename"), False),
    "after the rename": (killed_at(files.os, "rename", after=True), True),
}


@needs_fork
@pytest.mark.parametrize("first, left", POINTS.values(), ids=POINTS)
def test_a_kill_at_each_fixed_point_changes_nothing(whole, tmp_path, first, left):
    assert os.waitpid(forked(prepare_many, tmp_path, first), 0)[1] == signal.SIGKILL
    assert check_after_kill(tmp_path, whole[0]) is left
