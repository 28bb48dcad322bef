"""N-grams of 20 tokens in common, against sets of tuples; and documents taken out of a file."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_texts import Numbers

from gptlib.data import overlap
from gptlib.data.overlap import SPAN, drop_documents, ngram_overlap
from gptlib.tokenizer import BPETokenizer

END = 9


def written(path, documents, dtype="<u2", end=END):
    ids = [i for document in documents for i in [*document, end]]
    np.array(ids, dtype).tofile(path)
    return path


def tuples(document):
    return [tuple(document[i : i + SPAN]) for i in range(len(document) - SPAN + 1)]


def naive(training, held_out):
    """The documents that share a span, and in how many places one begins."""
    known = {span for document in training for span in tuples(document)}
    shared = [sum(span in known for span in tuples(document)) for document in held_out]
    return [number for number, count in enumerate(shared) if count], sum(shared)


@st.composite
def documents(draw):
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

    return [[document() for _ in range(draw(st.integers(0, 12)))] for _ in range(2)]


@given(parts=documents(), ids=st.integers(9, 99))
@settings(max_examples=80, deadline=None)
def test_they_are_those_of_sets_of_tuples_whatever_the_blocks(tmp_path_factory, parts, ids):
    folder = tmp_path_factory.getbasetemp()
    training, held_out = (
        written(folder / name, part) for name, part in zip(["train", "held"], parts, strict=True)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "IDS", ids)
        found, places = ngram_overlap(training, held_out, "<u2", Numbers(10, END))
    assert (found.tolist(), places) == naive(*parts)


@pytest.mark.parametrize("length, documents", [(SPAN - 1, []), (SPAN, [1]), (SPAN + 3, [1])])
def test_twenty_tokens_in_a_row_are_a_span_and_nineteen_are_none(tmp_path, length, documents):
    passage = list(range(100, 100 + length))
    training = written(tmp_path / "train", [[1, *passage, 2]])
    held_out = written(tmp_path / "held", [[5] * 30, [3, *passage, 4], [*passage[:10]] * 2])
    found, places = ngram_overlap(training, held_out, "<u2", Numbers(1000, END))
    assert found.tolist() == documents and places == max(0, length - SPAN + 1)


def test_a_span_does_not_reach_from_one_document_into_the_next(tmp_path):
    passage = list(range(100, 130))
    training = written(tmp_path / "train", [passage])
    parted = [passage[:15], passage[15:], [*passage[:15], END, *passage[16:]]]
    held_out = written(tmp_path / "held", parted)
    assert ngram_overlap(training, held_out, "<u2", Numbers(1000, END))[1] == 0


def test_the_order_of_the_tokens_counts(tmp_path):
    passage = list(range(100, 120))
    training = written(tmp_path / "train", [passage])
    turned = [passage[n:] + passage[:n] for n in (1, 4, 5, 10)]
    others = [passage[::-1], *turned, [*passage[:5], 106, 105, *passage[7:]]]
    held_out = written(tmp_path / "held", others)
    assert ngram_overlap(training, held_out, "<u2", Numbers(1000, END))[1] == 0


def test_large_vocabularies_have_wider_ids(tmp_path):
    passage = list(range(70_000, 70_030))
    training = written(tmp_path / "train", [passage], "<u4")
    held_out = written(tmp_path / "held", [[1] * 30, passage], "<u4")
    found, places = ngram_overlap(training, held_out, "<u4", Numbers(100_000, END))
    assert (found.tolist(), places) == ([1], 11)


@given(
    texts=st.lists(st.text(max_size=20), max_size=12),
    which=st.sets(st.integers(0, 11)),
    ids=st.integers(1, 30),
)
@settings(deadline=None)
def test_documents_are_left_out_whole(tmp_path_factory, texts, which, ids):
    tokenizer = BPETokenizer.from_merges([(b"a", b"b")], ["<|endoftext|>"])
    encoded = [tokenizer.encode(text) for text in texts]
    folder = tmp_path_factory.mktemp("rest")
    path = written(folder / "held.ids", encoded, end=tokenizer.end_of_text)
    kept = [document for number, document in enumerate(encoded) if number not in which]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "IDS", ids)
        n_bytes = drop_documents(path, "<u2", np.array(sorted(which), dtype=np.int64), tokenizer)
    assert n_bytes == sum(len(texts[i].encode()) for i in which if i < len(texts))
    expected = written(folder / "expected", kept, end=tokenizer.end_of_text)
    assert path.read_bytes() == expected.read_bytes()
    assert {file.name for file in folder.iterdir()} == {"held.ids", "expected"}
