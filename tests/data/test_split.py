"""Training and validation share no document, whatever the order, process or copy; n-grams they do
share are found."""

import random
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_texts import Numbers

from gptlib.data import split
from gptlib.data.split import (
    NGRAM,
    drop_overlapping,
    hash_fraction,
    ngram_overlap,
    normalize,
    split_documents,
    split_of,
    split_stream,
    split_text,
)
from gptlib.errors import ConfigError, CorpusError
from gptlib.tokenizer import BPETokenizer

DOCUMENTS = [f"document number {n} speaks of {n * n}" for n in range(2_000)]


def streamed(documents, **shares):
    """The documents of each split, as they come one by one."""
    found = {"train": [], "validation": [], "test": []}
    for side, document in split_stream(iter(documents), **shares):
        found[side].append(document)
    return found


# By hash


def test_about_a_tenth_is_held_out_and_each_side_keeps_the_order():
    training, validation = split_documents(DOCUMENTS)
    assert abs(len(validation) - 200) < 4 * (2_000 * 0.1 * 0.9) ** 0.5  # four binomial sigmas
    assert training == [d for d in DOCUMENTS if d in set(training)]
    assert validation == [d for d in DOCUMENTS if d in set(validation)]


def test_every_process_splits_alike_and_as_ever():
    assert round(hash_fraction("The Nile flows north."), 6) == 0.588211


@given(st.permutations(DOCUMENTS[:40]), st.integers(20, 40))
def test_neither_the_order_nor_documents_that_are_added_move_one(documents, count):
    whole = [set(side) for side in split_documents(documents)]
    assert whole == [set(side) for side in split_documents(DOCUMENTS[:40])]
    assert set(streamed(DOCUMENTS[:count])["validation"]) <= whole[1] | {
        min(DOCUMENTS[:count], key=hash_fraction)
    }


@given(
    st.lists(st.text(max_size=9), min_size=20, max_size=60), st.sampled_from([1e-9, 0.01, 0.1, 0.5])
)
@settings(deadline=None)
def test_every_document_goes_to_the_side_that_its_hash_names(documents, validation):
    limit = max(validation, min(map(hash_fraction, documents)))
    sides = streamed(documents, validation=validation)
    assert sides["validation"] == [d for d in documents if hash_fraction(d) <= limit] != []
    assert sides["train"] == [d for d in documents if hash_fraction(d) > limit]
    if sides["train"]:
        assert split_documents(documents, validation) == (sides["train"], sides["validation"])
    else:
        with pytest.raises(CorpusError, match="documents are held out"):
            split_documents(documents, validation)


def test_copies_that_differ_in_form_stay_together():
    assert normalize("Café  du\nport") == normalize("cafe\u0301 du Port ") == "café du port"
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert len(spaces) > 25 and {normalize(f"a{space}b") for space in spaces} == {"a b"}


def test_few_documents_are_cut_once_at_ninety_percent():
    text = "a" * 50 + "\n\n" + "b" * 48
    assert split_documents(["a" * 50, "b" * 48]) == ([text[:90]], [text[90:]])
    assert len(split_documents(DOCUMENTS[:19])[0]) == 1 < len(split_documents(DOCUMENTS[:20])[0])


def test_a_cut_takes_text_ids_and_tensors():
    assert split_text("abcdefghij") == ("abcdefghi", "j")
    assert [len(part) for part in split_text(list(range(5_145)))] == [4_630, 515]
    assert [len(part) for part in split_text(torch.arange(5_145))] == [4_630, 515]
    for text, share in (("", 0.1), ("a", 0.1), ("abc", 0.0), ("abc", 1.0)):
        with pytest.raises(CorpusError, match="leave a side empty"):
            split_text(text, share)


@pytest.mark.parametrize("shares", [(0.0, 0.1), (-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (0.1, -0.1)])
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ConfigError, match=f"validation {shares[0]} and test {shares[1]}"):
        streamed(DOCUMENTS, validation=shares[0], test=shares[1])


def test_a_stream_is_not_gathered():
    taken = iter(DOCUMENTS)
    next(split_stream(taken))
    assert next(taken) in DOCUMENTS[20:60]  # the first that is held out is among these
    assert "validation" in {split_of(document) for document in DOCUMENTS[:60]}


def test_a_test_split_is_taken_from_training_alone():
    two, three = streamed(DOCUMENTS), streamed(DOCUMENTS, test=0.1)
    assert three["validation"] == two["validation"]
    assert sorted(three["train"] + three["test"]) == sorted(two["train"])
    assert abs(len(three["test"]) - 200) < 4 * (2_000 * 0.1 * 0.9) ** 0.5


# N-grams in common, against sets of tuples

END = 9


def write_ids(path, documents, dtype="<u2", end=END):
    ids = [i for document in documents for i in [*document, end]]
    np.array(ids, dtype).tofile(path)
    return path


def ngrams(document):
    return [tuple(document[i : i + NGRAM]) for i in range(len(document) - NGRAM + 1)]


def naive_overlap(training, held_out):
    """The documents that share an n-gram, and in how many places one begins."""
    known = {ngram for document in training for ngram in ngrams(document)}
    shared = [sum(ngram in known for ngram in ngrams(document)) for document in held_out]
    return [number for number, count in enumerate(shared) if count], sum(shared)


def found_in(folder, training, held_out, dtype="<u2", vocab_size=1_000):
    """What the package finds in files of these documents."""
    paths = [write_ids(folder / n, part, dtype) for n, part in (("a", training), ("b", held_out))]
    documents, places = ngram_overlap(*paths, dtype, Numbers(vocab_size, END))
    return documents.tolist(), places


@st.composite
def corpora(draw):
    """Documents pieced together from a few long passages, cut and changed here and there."""
    luck = random.Random(draw(st.integers(0, 1 << 20)))
    passages = [[luck.randrange(9) for _ in range(60)] for _ in range(3)]

    def document():
        ids = []
        for _ in range(luck.randrange(4)):
            start = luck.randrange(40)
            ids += luck.choice(passages)[start : start + luck.choice([5, 19, 20, 21, 30])]
            ids += [luck.randrange(9) for _ in range(luck.randrange(3))]
        return ids

    return [[document() for _ in range(draw(st.integers(1, 12)))] for _ in range(2)]


@given(parts=corpora(), block=st.integers(9, 99))
@settings(max_examples=80, deadline=None)
def test_they_are_those_of_sets_of_tuples_whatever_the_blocks(tmp_path_factory, parts, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "IDS", block)
        found = found_in(tmp_path_factory.getbasetemp(), *parts, vocab_size=10)
    assert found == naive_overlap(*parts)


PASSAGE = list(range(100, 130))
TWENTY = PASSAGE[:20]
WIDE = list(range(70_000, 70_030))
CASES = {
    "nineteen": ([TWENTY[:19]], [[3, *TWENTY[:19], 4]], ([], 0)),
    "twenty": ([[1, *TWENTY, 2]], [[5] * 30, [3, *TWENTY, 4], TWENTY[:10] * 2], ([1], 1)),
    "more": ([[1, *PASSAGE[:23]]], [[5], [3, *PASSAGE[:23], 4]], ([1], 4)),
    "across documents": (
        [PASSAGE],
        [PASSAGE[:15], PASSAGE[15:], [*PASSAGE[:15], END, *PASSAGE[16:]]],
        ([], 0),
    ),
    "another order": (
        [TWENTY],
        [TWENTY[::-1], TWENTY[1:] + TWENTY[:1], TWENTY[5:] + TWENTY[:5], [*TWENTY[:5], 106, 105]],
        ([], 0),
    ),
    "wide ids": ([WIDE], [[1] * 30, WIDE], ([1], 11)),
}


@pytest.mark.parametrize("training, held_out, expected", CASES.values(), ids=CASES)
def test_twenty_tokens_in_a_row_of_one_document_count(tmp_path, training, held_out, expected):
    dtype, vocab_size = ("<u4", 100_000) if training == [WIDE] else ("<u2", 1_000)
    assert found_in(tmp_path, training, held_out, dtype, vocab_size) == expected


@given(
    texts=st.lists(st.text(max_size=20), max_size=12),
    which=st.sets(st.integers(0, 11)),
    block=st.integers(1, 30),
)
@settings(deadline=None)
def test_documents_are_left_out_whole(tmp_path_factory, texts, which, block):
    tokenizer = BPETokenizer.from_merges([(b"a", b"b")], ["<|endoftext|>"])
    encoded = [tokenizer.encode(text) for text in texts]
    folder = tmp_path_factory.mktemp("rest")
    path = write_ids(folder / "held.ids", encoded, end=tokenizer.end_of_text)
    kept = [document for number, document in enumerate(encoded) if number not in which]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "IDS", block)
        n_bytes = drop_overlapping(path, "<u2", np.array(sorted(which), dtype=np.int64), tokenizer)
    assert n_bytes == sum(len(texts[i].encode()) for i in which if i < len(texts))
    expected = write_ids(folder / "expected", kept, end=tokenizer.end_of_text)
    assert path.read_bytes() == expected.read_bytes()
    assert {file.name for file in folder.iterdir()} == {"held.ids", "expected"}
