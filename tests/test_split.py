"""Training and validation share no document, whatever the order, process or copy."""

import random
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data.corpora import Corpus, load_corpus
from gptlib.data.split import cut, hash_place, split, split_documents
from gptlib.errors import CorpusError

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
