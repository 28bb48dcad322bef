"""Training and validation share no document, whatever the order, process or copy."""

import contextlib
import random
import subprocess
import sys
import unicodedata

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.split import (
    cut,
    hash_place,
    levelled,
    split,
    split_documents,
    split_of,
    split_stream,
)
from gptlib.errors import ConfigError, CorpusError

DOCUMENTS = [f"document number {n} speaks of {n * n}" for n in range(2_000)]


def test_about_a_tenth_is_held_out():
    _, validation = split_documents(DOCUMENTS)
    assert abs(len(validation) - 200) < 4 * (2_000 * 0.1 * 0.9) ** 0.5  # four binomial sigmas


@given(st.permutations(DOCUMENTS[:40]))
def test_the_order_of_documents_does_not_matter(documents):
    training, validation = split_documents(documents)
    expected = split_documents(DOCUMENTS[:40])
    assert (set(training), set(validation)) == (set(expected[0]), set(expected[1]))


def test_each_side_keeps_the_order_given():
    training, validation = split_documents(DOCUMENTS)
    assert training == [d for d in DOCUMENTS if d in set(training)]
    assert validation == [d for d in DOCUMENTS if d in set(validation)]


def test_another_process_splits_alike():
    code = "from gptlib.data.split import hash_place; print(hash_place('salted?'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(other.stdout) == hash_place("salted?")


@given(st.lists(st.text(min_size=1), min_size=1, max_size=60), st.floats(0.01, 0.9))
def test_every_document_goes_to_exactly_one_side(documents, validation):
    try:
        training, held_out = split_documents(documents, validation)
    except CorpusError:
        return
    assert training and held_out
    assert sorted(training + held_out) == sorted(documents)
    assert not set(training) & set(held_out)


def test_copies_that_differ_in_form_stay_together():
    assert hash_place("Café  du\nport") == hash_place("cafe\u0301 du Port ")


def test_adding_documents_moves_none_of_the_old():
    _, before = split_documents(DOCUMENTS[:1_000])
    _, after = split_documents(DOCUMENTS)
    assert set(before) <= set(after)


def test_few_documents_are_cut_once_at_ninety_percent():
    corpus = Corpus("letters", ["a" * 50, "b" * 48], "here", "MIT")
    assert split(corpus) == ([corpus.text[:90]], [corpus.text[90:]])


def test_twenty_documents_are_split_by_hash():
    corpus = Corpus("many", DOCUMENTS[:20], "here", "MIT")
    assert split(corpus) == split_documents(DOCUMENTS[:20])


def test_cut_takes_text_ids_and_tensors():
    assert cut("abcdefghij") == ("abcdefghi", "j")
    assert [len(part) for part in cut(list(range(5_145)))] == [4_630, 515]
    assert [len(part) for part in cut(torch.arange(5_145))] == [4_630, 515]


@pytest.mark.parametrize(("text", "share"), [("", 0.1), ("a", 0.1), ("abc", 0.0), ("abc", 1.0)])
def test_a_cut_with_an_empty_side_is_refused(text, share):
    with pytest.raises(CorpusError, match="leave a side empty"):
        cut(text, share)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(CorpusError, match="held out"):
        split_documents(["the same"] * 30)
    with pytest.raises(CorpusError, match="no documents"):
        split_documents([])


def spans(documents, length=20):
    """All runs of `length` words."""
    words = [document.split() for document in documents]
    return {tuple(w[i : i + length]) for w in words for i in range(len(w) - length + 1)}


def test_the_bundled_articles_share_no_span_of_twenty_tokens():
    training, validation = split(load_corpus("sample-articles"))
    assert not spans(training) & spans(validation)


def test_windows_split_at_random_would_share_spans():
    articles = load_corpus("sample-articles").text.split()
    pieces = [" ".join(articles[i : i + 60]) for i in range(0, len(articles), 30)]
    random.Random(0).shuffle(pieces)
    training, validation = split_documents(pieces)
    assert spans(training) & spans(validation)  # so the test above can fail


# As they stream in


def streamed(documents, **shares):
    """The documents of each split, as they come one by one."""
    found = {"train": [], "validation": [], "test": []}
    for part, document in split_stream(iter(documents), **shares):
        found[part].append(document)
    return found


@given(
    st.lists(st.text(max_size=9), max_size=40, unique=True),
    st.sampled_from([1e-9, 0.01, 0.1, 0.5]),
)
@settings(deadline=None)
def test_a_stream_is_parted_as_the_whole_corpus_is(documents, validation):
    try:
        expected = split(Corpus("any", documents, "", ""), validation)
    except CorpusError:
        with contextlib.suppress(CorpusError):  # raised, or nothing is left to train on
            assert streamed(documents, validation=validation)["train"] == []
        return
    found = streamed(documents, validation=validation)
    assert (found["train"], found["validation"], found["test"]) == (*expected, [])


@pytest.mark.parametrize("count", [20, 21, 60, 2_000])
@pytest.mark.parametrize("validation", [1e-9, 0.01, 0.1, 0.5])
def test_a_stream_of_any_length_is_parted_as_the_whole(count, validation):
    found = streamed(DOCUMENTS[:count], validation=validation)
    corpus = Corpus("any", DOCUMENTS[:count], "", "")
    assert (found["train"], found["validation"]) == split(corpus, validation)


def test_a_stream_is_not_gathered():
    taken = iter(DOCUMENTS)
    parted = split_stream(taken)
    next(parted)
    assert next(taken) in DOCUMENTS[20:60]  # the first that is held out is among these
    assert "validation" in {split_of(document) for document in DOCUMENTS[:60]}


def test_a_test_split_is_taken_from_training_alone():
    two, three = streamed(DOCUMENTS), streamed(DOCUMENTS, test=0.1)
    assert three["validation"] == two["validation"]
    assert sorted(three["train"] + three["test"]) == sorted(two["train"])
    assert abs(len(three["test"]) - 200) < 4 * (2_000 * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize("shares", [(0.0, 0.1), (-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (0.1, -0.1)])
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ConfigError, match=f"validation {shares[0]} and test {shares[1]}"):
        streamed(DOCUMENTS, validation=shares[0], test=shares[1])


SPACED = st.text(
    st.sampled_from(
        "aAßﬁée\u0301 \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2003\u2028\u2029\u3000\u200b"
    )
)


@given(st.text() | SPACED)
def test_levelling_is_what_it_says(text):
    expected = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    assert levelled(text) == expected.encode()


def test_every_white_space_is_levelled():
    spaces = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert len(spaces) > 25 and {levelled(f"a{space}b") for space in spaces} == {b"a b"}
