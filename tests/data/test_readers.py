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
from gptlib.data.corpora import load_corpus
from gptlib.data.readers import stream_documents
from gptlib.errors import CorpusError


def list_of(path, separator=None):
    return list(stream_documents(path, separator))


def write_parquet(path, row_group_size=None, **columns):
    parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)
    return path


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
    start=st.text(st.sampled_from("aé🙂\n\ufeff"), max_size=9).map(str.encode),
    bad=st.sampled_from([b"\xff", b"\xe9a", b"\xf0\x9f", b"\xd8", b"\xe2\n"]),
)
@settings(deadline=None)
def test_the_first_bad_byte_is_counted_from_the_start_of_the_file(tmp_path_factory, start, bad):
    path = tmp_path_factory.getbasetemp() / ("bad.txt" if b"\n" in start else "bad.jsonl")
    path.write_bytes(start + bad)
    with pytest.raises(UnicodeDecodeError) as expected:
        (start + bad).decode()
    with pytest.raises(CorpusError, match=f": byte {expected.value.start} is not UTF-8"):
        list_of(path)


@given(
    documents=st.lists(st.text(st.characters(codec="utf-8")), max_size=5),
    rows=st.integers(1, 9),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
@settings(deadline=None)
def test_jsonl_and_parquet_give_back_what_was_written(tmp_path_factory, documents, rows, end):
    folder = tmp_path_factory.getbasetemp()
    documents = ["first", *documents]
    lines = [json.dumps({"title": "t", "text": text}, ensure_ascii=False) for text in documents]
    (folder / "any.jsonl").write_bytes(end.join(lines).encode())
    write_parquet(folder / "any.parquet", title=documents, text=documents)
    expected = [text.replace("\r\n", "\n") for text in documents if text.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "ROWS", rows)
        assert list_of(folder / "any.jsonl") == expected
        assert list_of(folder / "any.parquet") == expected


def test_the_only_column_of_strings_serves_as_text(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "Text": "one"}\n\n{"id": 2, "Text": "two"}\n')
    assert list_of(path) == ["one", "two"]
    path = write_parquet(tmp_path / "rows.parquet", id=[1, 2], Text=["one", "two"])
    assert list_of(path) == ["one", "two"]


BAD_FILES = {
    "latin.txt": ("olé".encode("latin-1"), "byte 2 is not UTF-8"),
    "empty.txt": (b" \n", "holds no text"),
    "picture.png": (b"\x89PNG", "cannot read a .png file as text"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
    "deep.jsonl": (b"[" * 100_000, "line 1 is not JSON"),
    "list.jsonl": (b'["a"]\n', "line 1 is no object"),
    "column.jsonl": (b'{"title": "a", "body": "b"}\n', "no column 'text' but title, body"),
    "missing.jsonl": (b'{"text": "a"}\n{"title": "b"}\n', "line 2: 'text' holds None, not text"),
    "number.jsonl": (b'{"text": 3}\n', "line 1: 'text' holds 3, not text"),
    "half.jsonl": (b'{"text": "a\\ud800"}\n', "line 1: character 1 is half of one"),
    "none.jsonl": (b"\n", "holds no text"),
    "rows.parquet": (b"PAR1 but no more", "cannot be read as parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_cannot_be_read_is_named_in_one_line(name, tmp_path):
    content, reason = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CorpusError) as caught:
        load_corpus(path)
    message = str(caught.value)
    assert str(path) in message and reason in message and "\n" not in message
    assert ": " in message.split(reason)[1] or "give" in message  # … and a way out


def test_what_a_parquet_file_lacks_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "ROWS", 2)
    path = write_parquet(tmp_path / "columns.parquet", a=["x"], b=["y"], n=[1])
    with pytest.raises(CorpusError, match="no column 'text' but a, b, n"):
        list_of(path)
    path = write_parquet(tmp_path / "rows.parquet", 3, text=["a", "b", "c", None])
    with pytest.raises(CorpusError, match="row 3: 'text' holds None"):  # through all batches
        list_of(path)
    with pytest.raises(CorpusError, match="holds no text"):
        (tmp_path / "empty").mkdir()
        list_of(tmp_path / "empty")


def test_documents_before_a_fault_are_there_and_those_asked_for_need_no_more(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\nnot JSON\n')
    assert load_corpus(path, documents=2).documents == ["one", "two"]
    rows = stream_documents(path)
    assert list(islice(rows, 2)) == ["one", "two"]
    with pytest.raises(CorpusError, match="line 3 is not JSON"):
        next(rows)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(readers, "BLOCK", 1 << 16)
    rows = [f"{number} " + "word " * 200 for number in range(8_000)]  # 8 MB
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        write_parquet(path, 1000, text=rows)
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


def test_of_a_folder_hidden_files_and_what_is_no_file_are_left_out_and_counted(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.txt").write_text("seen")
    for name in ("._a.txt", ".git", "deep/.cache", "x.parquet"):
        (tmp_path / name).write_bytes(b"\0\xff") if "a.t" in name else (tmp_path / name).mkdir()
    (tmp_path / ".git" / "b.jsonl").write_text("no JSON")
    (tmp_path / "deep" / "gone.txt").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="4 hidden or no plain files are left out"):
        assert list_of(tmp_path) == ["seen"]


def test_a_hidden_file_or_folder_that_is_named_is_read(tmp_path):
    folder = tmp_path / ".texts"
    folder.mkdir()
    (folder / "a.txt").write_text("seen")
    assert list_of(folder) == list_of(folder / "a.txt") == ["seen"]
