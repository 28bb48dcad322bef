"""Corpora by name and by path; every way in which one cannot be had is a named error."""

import hashlib
import json
import tempfile
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from gptlib import environment
from gptlib.data import corpora
from gptlib.data.corpora import CORPORA, Corpus, load_corpus
from gptlib.data.reading import read_documents
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError

TEXT = b"It was a short story.\n"


@pytest.fixture
def own_machine(monkeypatch, tmp_path):
    """A machine with an empty data folder, no settings, and no network that is not asked for."""
    for name in ("GPTLIB_CORPORA", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    calls = []

    def no_network(url, path, sha256):
        calls.append(url)
        raise DownloadError(f"{url} after 3 tries: no route")

    monkeypatch.setattr(corpora, "download", no_network)
    return calls


@pytest.fixture
def short_verdict(monkeypatch):
    """The Verdict's place taken by a short text with its own hash."""
    monkeypatch.setattr(corpora, "THE_VERDICT_SHA256", hashlib.sha256(TEXT).hexdigest())


@pytest.mark.parametrize("name", ["sample-story", "sample-articles", "sample-darija"])
def test_samples_load_without_network_or_data_folder(name, own_machine):
    corpus = load_corpus(name)
    assert corpus.name == name and corpus.licence == "MIT" and not own_machine
    assert all(document.strip() for document in corpus.documents)


def test_samples_have_the_sizes_that_the_notebooks_count_on(own_machine):
    assert 18_000 < len(load_corpus("sample-story").text) < 23_000
    assert len(load_corpus("sample-articles").documents) >= 20  # so that it splits by document
    assert len(load_corpus("sample-darija").documents) >= 400


def test_python_docs_are_the_manual_of_this_python(own_machine):
    corpus = load_corpus("python-docs")
    assert 'The "for" statement' in corpus.text and len(corpus.documents) > 20


def test_a_stored_text_is_used(own_machine, short_verdict, tmp_path):
    (tmp_path / "the-verdict.txt").write_bytes(TEXT)
    corpus = load_corpus("the-verdict")
    assert corpus.documents == [TEXT.decode()] and not own_machine
    assert corpus.licence == "public domain"


def test_a_missing_text_is_downloaded_into_the_data_folder(
    own_machine, short_verdict, tmp_path, monkeypatch
):
    def download(url, path, sha256):
        assert url == corpora.THE_VERDICT_URL and sha256 == corpora.THE_VERDICT_SHA256
        path.write_bytes(TEXT)

    monkeypatch.setattr(corpora, "download", download)
    assert load_corpus("the-verdict").text == TEXT.decode()
    assert (tmp_path / "the-verdict.txt").exists()


def test_a_stored_text_that_was_altered_is_not_used(own_machine, short_verdict, tmp_path):
    (tmp_path / "the-verdict.txt").write_bytes(TEXT.replace(b"short", b"false"))
    with pytest.raises(CorpusUnavailable):
        load_corpus("the-verdict")
    assert len(own_machine) == 1  # it was asked for again


def test_an_unreachable_corpus_names_every_way_out(own_machine, tmp_path):
    with pytest.raises(CorpusUnavailable) as caught:
        load_corpus("the-verdict")
    message = str(caught.value)
    for way_out in (corpora.THE_VERDICT_URL, str(tmp_path), "GPTLIB_DATA", "sample-story"):
        assert way_out in message
    assert "\n" not in message and not (tmp_path / "the-verdict.txt").exists()


def test_offline_asks_no_network(own_machine, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusUnavailable, match="HF_HUB_OFFLINE=1 forbids"):
        load_corpus("the-verdict")
    assert not own_machine


def test_a_fallback_goes_on_and_says_so_in_one_line(own_machine, capsys):
    assert load_corpus("the-verdict", fallback="sample-story").name == "sample-story"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "sample-story stands in for the-verdict" in said


def test_bundled_texts_stand_in_outright(own_machine, monkeypatch, capsys):
    monkeypatch.setenv("GPTLIB_CORPORA", "bundled")
    assert load_corpus("the-verdict").name == "sample-story"
    assert load_corpus("python-docs").name == "sample-articles"
    assert capsys.readouterr().out.count("GPTLIB_CORPORA=bundled") == 2
    assert load_corpus("sample-darija").name == "sample-darija"
    assert capsys.readouterr().out == "" and not own_machine


def test_every_stand_in_comes_with_the_course():
    for entry in CORPORA.values():
        assert entry.stand_in is None or CORPORA[entry.stand_in].stand_in is None


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(CorpusError, match=r"no corpus 'the-veredict': give one of the-verdict, "):
        load_corpus("the-veredict")


def test_the_fingerprint_is_that_of_the_documents():
    one = Corpus("a", ["x", "y"], "here", "MIT")
    assert one.fingerprint == Corpus("b", ["x", "y"], "there", "none").fingerprint
    others = (["y", "x"], ["xy"], ["x", "y", ""], ["x"])
    assert all(one.fingerprint != Corpus("a", d, "here", "MIT").fingerprint for d in others)


def test_text_joins_documents_with_a_blank_line():
    assert Corpus("a", ["x", "y"], "here", "MIT").text == "x\n\ny"


# Files and folders of one's own


def test_a_txt_file_is_one_document(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes("\ufeffone\r\n\r\nوحد".encode())
    corpus = load_corpus(path)
    assert corpus.documents == ["one\n\nوحد"] and corpus.name == "notes"


def test_a_separator_parts_a_txt_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("one<|endoftext|>two<|endoftext|>\n")
    assert load_corpus(str(path), separator="<|endoftext|>").documents == ["one", "two"]


@given(st.lists(st.text(st.characters(codec="utf-8")).filter(str.strip), min_size=1, max_size=5))
def test_jsonl_gives_back_what_was_written(documents):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = [json.dumps({"title": "t", "text": text}) for text in documents]
        path.write_text("\n".join(lines), encoding="utf-8")
        assert read_documents(path) == [text.replace("\r\n", "\n") for text in documents]


def test_the_only_column_of_strings_serves_as_text(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "Text": "one"}\n\n{"id": 2, "Text": "two"}\n')
    assert read_documents(path) == ["one", "two"]
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "Text": ["one", "two"]}), path)
    assert read_documents(path) == ["one", "two"]


def test_parquet_reads_its_text_column(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"title": ["a", "b"], "text": ["وحد", "two"]}), path)
    assert read_documents(path) == ["وحد", "two"]


def test_a_folder_is_read_by_name(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}')
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.TXT").write_text("third")
    assert load_corpus(tmp_path).documents == ["first", "second", "third"]


BAD_FILES = {
    "latin.txt": ("olé".encode("latin-1"), "byte 2 is not UTF-8"),
    "empty.txt": (b" \n", "holds no text"),
    "picture.png": (b"\x89PNG", "cannot read a .png file as text"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
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


def test_a_table_without_a_text_column_is_named(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"a": ["x"], "b": ["y"], "n": [1]}), path)
    with pytest.raises(CorpusError, match="no column 'text' but a, b, n"):
        load_corpus(path)


def test_a_folder_without_text_is_named(tmp_path):
    with pytest.raises(CorpusError, match="holds no text"):
        load_corpus(tmp_path)


def test_the_readme_tells_of_every_corpus():
    readme = (environment.SAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in CORPORA)
    for sample in environment.SAMPLES.iterdir():
        assert sample.name == "README.md" or sample.name in readme
