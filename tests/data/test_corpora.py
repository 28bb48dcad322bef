"""Corpora by name and by path; every way in which one cannot be had is a named error."""

import hashlib

import pytest

from gptlib import environment
from gptlib.data import corpora
from gptlib.data.corpora import CORPORA, Corpus, load_corpus, stream_corpus
from gptlib.errors import CorpusError, CorpusUnavailable, DownloadError

TEXT = b"It was a short story.\n"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A machine with an empty data folder, no settings, a short Verdict, and no network; the
    addresses that were asked for all the same."""
    for name in ("GPTLIB_CORPORA", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    monkeypatch.setattr(corpora, "THE_VERDICT_SHA256", hashlib.sha256(TEXT).hexdigest())
    urls = []

    def no_network(url, path, sha256):
        urls.append(url)
        raise DownloadError(f"{url} after 3 tries: no route")

    monkeypatch.setattr(corpora, "download", no_network)
    return urls


def test_samples_load_without_a_network_and_have_the_sizes_that_notebooks_count_on(asked):
    story, articles, darija = map(load_corpus, ("sample-story", "sample-articles", "sample-darija"))
    assert 18_000 < len(story.text) < 23_000 and story.name == "sample-story"
    assert len(articles.documents) >= 20 and len(darija.documents) >= 400
    for corpus in (story, articles, darija):
        assert corpus.license == "MIT" and all(map(str.strip, corpus.documents))
    assert not asked


def test_python_docs_are_the_manual_of_this_python(asked):
    corpus = load_corpus("python-docs")
    assert 'The "for" statement' in corpus.text and len(corpus.documents) > 20


def test_a_stored_text_is_used_and_one_that_was_altered_is_asked_for_again(asked, tmp_path):
    (tmp_path / "the-verdict.txt").write_bytes(TEXT)
    corpus = load_corpus("the-verdict")
    assert corpus.documents == [TEXT.decode()] and corpus.license == "public domain"
    assert not asked
    (tmp_path / "the-verdict.txt").write_bytes(TEXT.replace(b"short", b"false"))
    with pytest.raises(CorpusUnavailable):
        load_corpus("the-verdict")
    assert len(asked) == 1


def test_a_missing_text_is_downloaded_into_the_data_folder(asked, tmp_path, monkeypatch):
    def download(url, path, sha256):
        assert url == corpora.THE_VERDICT_URL and sha256 == corpora.THE_VERDICT_SHA256
        path.write_bytes(TEXT)

    monkeypatch.setattr(corpora, "download", download)
    assert load_corpus("the-verdict").text == TEXT.decode()
    assert (tmp_path / "the-verdict.txt").exists()


def test_an_unreachable_corpus_names_every_way_out(asked, tmp_path, monkeypatch):
    with pytest.raises(CorpusUnavailable) as caught:
        load_corpus("the-verdict")
    message = str(caught.value)
    for way_out in (corpora.THE_VERDICT_URL, str(tmp_path), "GPTLIB_DATA", "sample-story"):
        assert way_out in message
    assert "\n" not in message and not (tmp_path / "the-verdict.txt").exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusUnavailable, match="HF_HUB_OFFLINE=1 forbids"):
        load_corpus("the-verdict")
    assert len(asked) == 1


def test_a_fallback_goes_on_and_says_so_in_one_line(asked, capsys):
    assert load_corpus("the-verdict", fallback="sample-story").name == "sample-story"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "sample-story stands in for the-verdict" in said


def test_bundled_texts_stand_in_outright(asked, monkeypatch, capsys):
    monkeypatch.setenv("GPTLIB_CORPORA", "bundled")
    assert load_corpus("the-verdict").name == "sample-story"
    assert load_corpus("python-docs").name == "sample-articles"
    assert capsys.readouterr().out.count("GPTLIB_CORPORA=bundled") == 2
    assert load_corpus("sample-darija").name == "sample-darija"
    assert capsys.readouterr().out == "" and not asked
    for spec in CORPORA.values():
        assert spec.fallback is None or CORPORA[spec.fallback].fallback is None


def test_an_unknown_name_lists_the_known_ones_before_a_document_is_asked_for():
    unknown = "no corpus '{}', and no file or folder of that name: give one of the-verdict, "
    near = r".*; did you mean 'the-verdict'\?$"
    words = {"the-veredict": unknown.format("the-veredict") + near}
    words["gone.txt"] = "no file or folder gone.txt: give one of the-verdict, "
    words[""] = "the corpus has an empty name: give one of the-verdict, "
    for name, said in words.items():
        for read in (load_corpus, stream_corpus):
            with pytest.raises(CorpusError, match=said):
                read(name)


def test_the_fingerprint_is_that_of_the_documents():
    one = Corpus("a", ["x", "y"], "here", "MIT")
    assert one.text == "x\n\ny"
    assert one.fingerprint == Corpus("b", ["x", "y"], "there", "none").fingerprint
    others = (["y", "x"], ["xy"], ["x", "y", ""], ["x"])
    assert all(one.fingerprint != Corpus("a", d, "here", "MIT").fingerprint for d in others)


def test_a_folder_of_ones_own_is_read_by_name(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}')
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.TXT").write_text("third")
    corpus = load_corpus(tmp_path)
    assert corpus.documents == ["first", "second", "third"] and corpus.name == tmp_path.name
    assert list(stream_corpus(tmp_path, documents=2)) == ["first", "second"]


def test_the_readme_tells_of_every_corpus():
    readme = (environment.SAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in CORPORA)
    for spec in CORPORA.values():
        assert (spec.repository or "") in readme and (spec.license in readme or not spec.repository)
    for sample in environment.SAMPLES.iterdir():
        assert sample.name == "README.md" or sample.name in readme
