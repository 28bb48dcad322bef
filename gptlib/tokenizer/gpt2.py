"""GPT-2's own tokenizer: where its vocabulary is found, and ``load_tokenizer``, which knows it."""

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path

import tiktoken

from gptlib import environment
from gptlib.errors import DownloadError, TokenizerError, VocabularyUnavailable
from gptlib.files import atomic_write, download, lock, sha256_of
from gptlib.tokenizer.bpe import PATTERN, Pair, check_unicode, encode_piece
from gptlib.tokenizer.tokenizers import END_OF_TEXT, BPETokenizer, CharacterTokenizer, Tokenizer
from gptlib.tokenizer.vocabulary import (
    BYTE_TO_CHARACTER,
    BytePair,
    parse_merges,
    read_file,
    unicode_to_bytes,
    write_vocabulary,
)

# GPT-2's vocabulary in tiktoken's format: a line for each of 50,256 tokens, its bytes in base64
# and its id. tiktoken's server calls it r50k_base.
SERVER = "https://openaipublic.blob.core.windows.net"
FILE_URL = f"{SERVER}/encodings/r50k_base.tiktoken"
FILE_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

# Of the 50,257 tokens: a folder that holds them is encoded by tiktoken.
GPT2_FINGERPRINT = "a5623714bcf19049eb0fd78df19b6daa1e61ac435b86a5deae767768e7fcdc3d"

# GPT-2's merges, as tiktoken keeps them for its encoding gpt2: under the sha1 of their address.
MERGES_NAME = hashlib.sha1(f"{SERVER}/gpt-2/encodings/main/vocab.bpe".encode()).hexdigest()
MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"

# A pure wheel (MIT license, 0.9 MB) that carries the file, for networks with a package index only.
WHEEL = "mlx-whisper==0.4.3"
WHEEL_SHA256 = "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489"
WHEEL_MEMBER = "mlx_whisper/assets/gpt2.tiktoken"

BLOCK = 400_000  # characters; tiktoken panics at a million of white space in a row


def load_gpt2_ranks() -> dict[bytes, int]:
    """The bytes of GPT-2's 50,256 ordinary tokens → their ids, from the first source that has them.

    The sources: the cache that the user has named for tiktoken, our own cache, tiktoken's server,
    the package index. Whatever brings the vocabulary, its sha256 decides, and it is kept in our
    cache: tiktoken by itself would keep it in a folder that all users of the machine share.

    Raises:
        VocabularyUnavailable: no source has them; says why, and names every way out.
    """
    reasons = []
    if (folder := environment.tiktoken_folder()) is not None:
        with suppress(OSError):
            if sha256_of(folder / MERGES_NAME) == MERGES_SHA256:
                pairs = parse_merges((folder / MERGES_NAME).read_text(encoding="utf-8"))
                words = [*BYTE_TO_CHARACTER.values(), *map("".join, pairs)]
                return {unicode_to_bytes(word): rank for rank, word in enumerate(words)}
        reasons.append(f"{folder} does not hold tiktoken's gpt2")
    file = environment.cache_folder() / "gpt2.tiktoken"
    for fetch in (None,) if environment.offline() else (None, fetch_from_server, fetch_from_wheel):
        try:
            if fetch is not None:
                fetch(file)
            if not file.is_file() or sha256_of(file) != FILE_SHA256:
                raise FileNotFoundError(f"{file} is missing or damaged")
            lines = (line.split() for line in file.read_bytes().splitlines())
            return {base64.b64decode(token): int(rank) for token, rank in lines}
        except (DownloadError, OSError) as error:
            reasons.append(str(error))
    raise VocabularyUnavailable(
        f"GPT-2's vocabulary is not stored here and no source gave it ({'; '.join(reasons)}): "
        f"connect to the internet or to a package index that has {WHEEL} (and leave HF_HUB_OFFLINE "
        f"unset), set TIKTOKEN_CACHE_DIR to a cache that tiktoken has filled with gpt2, or copy "
        f"r50k_base.tiktoken to {file}"
    )


def fetch_from_server(file: Path) -> None:
    """Bring the file from where tiktoken itself downloads it; without a network, give up soon."""
    download(FILE_URL, file, FILE_SHA256, tries=1, timeout=10.0)


def fetch_from_wheel(file: Path) -> None:
    """Bring the file out of a wheel that pip downloads and nobody installs."""
    with lock(file), tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--retries=1"]
        command += ["--timeout=10", f"--dest={folder}", WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=120.0)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
            raise DownloadError(f"pip download {WHEEL}: {lines[-1]}") from error
        except subprocess.TimeoutExpired as error:
            raise DownloadError(f"pip download {WHEEL}: not done after 120 seconds") from error
        wheel = next(Path(folder).glob("*.whl"))
        if sha256_of(wheel) != WHEEL_SHA256:
            raise DownloadError(f"pip download {WHEEL}: another file came under that name")
        with zipfile.ZipFile(wheel) as archive, atomic_write(file) as kept:
            kept.write(archive.read(WHEEL_MEMBER))


def merges_of(ranks: Mapping[bytes, int]) -> list[BytePair]:
    """The merges behind ranks, oldest first: the 256 bytes, then tokens in the order of training.

    A token was made from the two parts that all merges before it leave of its bytes.
    """
    tokens = [bytes([byte]) for byte in range(256)]
    merged: dict[Pair, int] = {}
    for token in sorted(ranks, key=ranks.__getitem__)[256:]:
        left, right = encode_piece(token, merged)
        merged[left, right] = len(tokens)
        tokens.append(token)
    return [(tokens[left], tokens[right]) for left, right in merged]


class GPT2Tokenizer(Tokenizer):
    """GPT-2's 50,257 tokens, encoded by tiktoken: the same ids as ``BPETokenizer``, only faster."""

    def __init__(self, ranks: Mapping[bytes, int]) -> None:
        """Hand tiktoken the bytes of each ordinary token → its id, see ``load_gpt2_ranks``."""
        self.ranks = dict(ranks)
        tokens = [*sorted(self.ranks, key=self.ranks.__getitem__), END_OF_TEXT.encode()]
        super().__init__("gpt2", tokens, {END_OF_TEXT: len(self.ranks)})
        self._encoding = tiktoken.Encoding(
            name=self.name,
            pat_str=PATTERN.pattern,
            mergeable_ranks=self.ranks,
            special_tokens=self.special_tokens,
        )

    @cached_property
    def merges(self) -> list[BytePair]:
        """The 50,000 merges, oldest first; worked out from the ranks, in half a second."""
        return merges_of(self.ranks)

    @cached_property
    def _own(self) -> BPETokenizer:
        return BPETokenizer(self.ranks, self.merges, self.special_tokens)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        check_unicode(text)
        starts = range(0, len(text) - BLOCK + 1, BLOCK)
        if starts and any(text[start : start + BLOCK].isspace() for start in starts):
            return self._own.encode(text, allow_special)
        if allow_special:
            return self._encoding.encode(text, allowed_special="all")
        return self._encoding.encode_ordinary(text)

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.json`` and ``merges.txt``: a folder that needs no download any more."""
        write_vocabulary(folder, self.ranks, self.merges, self.special_tokens)


def load_tokenizer(name_or_folder: str | Path) -> Tokenizer:
    """Load a tokenizer.

    Args:
        name_or_folder: ``"gpt2"``, or a folder that a tokenizer's ``save`` has written.

    Returns:
        the tokenizer; for a folder with GPT-2's own vocabulary the fast one.

    Raises:
        VocabularyUnavailable: GPT-2's vocabulary is neither stored here nor reachable.
        TokenizerError: the folder holds no tokenizer, or a damaged one.
    """
    if name_or_folder == "gpt2":
        return gpt2_tokenizer()
    folder = Path(name_or_folder)
    if (folder / "characters.json").is_file():
        characters = read_file(folder / "characters.json", json.loads)
        if not isinstance(characters, str):
            raise TokenizerError(f"{folder / 'characters.json'} holds no JSON string: save it anew")
        return CharacterTokenizer(characters)
    if (folder / "vocab.json").is_file():
        return fastest(BPETokenizer.load(folder))
    raise TokenizerError(
        f"{name_or_folder} holds no tokenizer: give 'gpt2', or a folder with vocab.json and "
        "merges.txt, or with characters.json"
    )


@cache
def gpt2_tokenizer() -> GPT2Tokenizer:
    """GPT-2's tokenizer never changes, so one serves the whole process."""
    return GPT2Tokenizer(load_gpt2_ranks())


def fastest(tokenizer: BPETokenizer) -> Tokenizer:
    """The same tokenizer; tiktoken's if its vocabulary is GPT-2's own."""
    if tokenizer.fingerprint == GPT2_FINGERPRINT:
        return GPT2Tokenizer(tokenizer.vocabulary)
    return tokenizer
