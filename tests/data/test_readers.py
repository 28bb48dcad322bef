"""Files read block by block give what reading them whole would give, and hold little at once."""

import json
import tracemalloc
from itertools import islice

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from gptlib.data import readers
from gptlib.data.corpora import load_corpus, stream_corpus
from gptlib.data.readers import stream_documents
from gptlib.errors import CorpusError


def list_of(path, separator=None):
    return list(stream_documents(path, separator))


@given(
    content=st.text(st.sampled_from("aé🙂\r\n\ufeff|"), max_size=40).map(str.encode),
    separator=st.sampled_from([None, "|", "\n", "\n\n", "\r\n", "\r\n\r\n", "aa"]),
    block=st.integers(1, 9),
)
@settings(max_examples=400, deadline=None)
def test_a_txt_file_reads_as_its_whole_text_whatever_the_block(
    tmp_path_factory, content, separator, block
):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    whole = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    parts = whole.split(separator.replace("\r\n", "\n")) if separator else [whole]
    expected = [part for part in parts if part.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", block)
        if expected:
            assert list_of(path, separator) == expected
        else:
            with pytest.raises(CorpusError, match="holds no text"):
                list_of(path, separator)


@given(
    start=st.text(st.sampled_from("aé🙂\ufeff"), max_size=9).map(str.encode),
    bad=st.sampled_from([b"\xff", b"\xe9a", b"\xf0\x9f", b"\xd8"]),
    block=st.integers(1, 5),
    suffix=st.sampled_from([".txt", ".jsonl"]),
)
@settings(deadline=None)
def test_the_first_bad_byte_is_counted_from_the_start_of_the_file(
    tmp_path_factory, start, bad, block, suffix
):
    path = tmp_path_factory.getbasetemp() / f"bad{suffix}"
    path.write_bytes(start + bad)
    with pytest.raises(UnicodeDecodeError) as expected:
        (start + bad).decode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", block)
        with pytest.raises(CorpusError, match=f": byte {expected.value.start} is not UTF-8"):
            list_of(path)


@given(
    documents=st.lists(st.text(st.characters(codec="utf-8")), max_size=5),
    block=st.integers(1, 9),
    end=st.sampled_from(["\n", "\r\n"]),
)
@settings(deadline=None)
def test_jsonl_and_parquet_read_the_same_whatever_the_block(
    tmp_path_factory, documents, block, end
):
    folder = tmp_path_factory.getbasetemp()
    documents = ["first", *documents]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in documents]
    (folder / "any.jsonl").write_bytes(end.join(lines).encode())
    parquet.write_table(pyarrow.table({"text": documents}), folder / "any.parquet")
    expected = [text.replace("\r\n", "\n") for text in documents if text.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK", block)
        patch.setattr(readers, "ROWS", block)
        assert list_of(folder / "any.jsonl") == expected
        assert list_of(folder / "any.parquet") == expected


def test_documents_before_a_fault_are_there_and_those_asked_for_need_no_more(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\nnot JSON\n')
    assert list(stream_corpus(path, documents=2)) == ["one", "two"]
    assert load_corpus(path, documents=2).documents == ["one", "two"]
    rows = stream_documents(path)
    assert list(islice(rows, 2)) == ["one", "two"]
    with pytest.raises(CorpusError, match="line 3 is not JSON"):
        next(rows)


def test_rows_are_numbered_through_all_batches_of_a_parquet_file(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "ROWS", 2)
    table = pyarrow.table({"text": ["a", "b", "c", None]})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=3)
    with pytest.raises(CorpusError, match="row 3: 'text' holds None"):
        list_of(tmp_path / "rows.parquet")


def test_a_missing_path_is_named_before_the_first_document_is_asked_for():
    with pytest.raises(CorpusError, match=r"no corpus 'gone\.txt'"):
        stream_corpus("gone.txt")


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(readers, "BLOCK", 1 << 16)
    rows = [f"{number} " + "word " * 200 for number in range(8_000)]  # 8 MB
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.table({"text": rows}), path, row_group_size=1000)
    else:
        lines = rows if suffix == ".txt" else [json.dumps({"text": row}) for row in rows]
        path.write_text("\n".join(lines))
    del rows
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream_documents(path, "\n")) == 8_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5e6  # a block, its parts, and a batch of 256 rows
