"""GPT-2's own tokenizer: where its vocabulary is found, and ``load_tokenizer``, which knows it."""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache, cached_property, partial
from pathlib import Path

import tiktoken

from gptlib import environment
from gptlib.errors import DownloadError, TokenizerError
from gptlib.files import atomic_write, download, sha256_of
from gptlib.tokenizer import vocabulary as vocab
from gptlib.tokenizer.bpe import PATTERN, Pair, check_unicode, encode_piece
from gptlib.tokenizer.tokenizers import END_OF_TEXT, BPETokenizer, CharacterTokenizer, Tokenizer
from gptlib.tokenizer.vocabulary import BytePair

# GPT-2's vocabulary in tiktoken's format: a line for each of 50,256 tokens, its bytes in base64
# and its id. tiktoken's server calls it r50k_base.
SERVER = "https://openaipublic.blob.core.windows.net"
FILE_URL = f"{SERVER}/encodings/r50k_base.tiktoken"
FILE_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
STORED_AS = hashlib.sha1(FILE_URL.encode()).hexdigest()  # in a cache that tiktoken has filled
# A pure wheel (MIT license, 0.9 MB) that carries the file, for networks with a package index only.
WHEEL = "mlx-whisper==0.4.3"
WHEEL_SHA256 = "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489"
WHEEL_MEMBER = "mlx_whisper/assets/gpt2.tiktoken"

# Of the 50,257 tokens: a folder that holds them is encoded by tiktoken.
GPT2_FINGERPRINT = "a5623714bcf19049eb0fd78df19b6daa1e61ac435b86a5deae767768e7fcdc3d"
BLOCK = 400_000  # characters; tiktoken panics at a million of white space in a row


def load_gpt2_ranks() -> dict[bytes, int]:
    """The bytes of GPT-2's 50,256 ordinary tokens → their ids.

    Sources: our cache, the one that the user has named for tiktoken; tiktoken's server and the
    package index fill ours. A file is believed by its sha256 alone. Where no source has it,
    DownloadError says why, and names every way out.
    """
    file, folder = environment.cache_folder() / "gpt2.tiktoken", environment.tiktoken_folder()
    stored = [file] if folder is None else [file, folder / STORED_AS]
    server = partial(download, FILE_URL, sha256=FILE_SHA256, tries=1, timeout=10.0)
    reasons = []
    for fetch in (None,) if environment.offline() else (None, server, fetch_from_wheel):
        try:
            if fetch is not None:
                fetch(path=file)
            for path in stored:
                if path.is_file() and sha256_of(path) == FILE_SHA256:
                    lines = (line.split() for line in path.read_bytes().splitlines())
                    return {base64.b64decode(token): int(rank) for token, rank in lines}
            reasons.append(f"{' and '.join(map(str, stored))}: missing or damaged")
        except (DownloadError, OSError, subprocess.TimeoutExpired) as error:
            reasons.append(str(error))
    raise DownloadError(
        f"GPT-2's vocabulary is not stored here and no source gave it ({'; '.join(reasons)}): "
        f"connect to the internet or to a package index that has {WHEEL} (and leave HF_HUB_OFFLINE "
        f"unset), set TIKTOKEN_CACHE_DIR to a cache that tiktoken has filled with r50k_base, or "
        f"copy r50k_base.tiktoken to {file}"
    )


def fetch_from_wheel(path: Path) -> None:
    """Bring the file out of a wheel that pip downloads and nobody installs."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", WHEEL, f"--dest={folder}", "--quiet"]
        command += ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--retries=1", "--timeout=10"]
        done = subprocess.run(command, capture_output=True, timeout=120.0)
        if done.returncode:
            said = done.stderr.decode(errors="replace").splitlines()
            raise DownloadError(f"pip download {WHEEL}: {said[-1] if said else 'no reason'}")
        (wheel,) = Path(folder).glob("*.whl")
        if sha256_of(wheel) != WHEEL_SHA256:
            raise DownloadError(f"pip download {WHEEL}: another file came under that name")
        with zipfile.ZipFile(wheel) as archive, atomic_write(path) as kept:
            kept.write(archive.read(WHEEL_MEMBER))


class GPT2Tokenizer(Tokenizer):
    """GPT-2's 50,257 tokens, encoded by tiktoken: the same ids as ``BPETokenizer``, only faster.

    Args:
        ranks: the bytes of each ordinary token → its id, see :func:`load_gpt2_ranks`.
    """

    def __init__(self, ranks: Mapping[bytes, int]) -> None:
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
        """The 50,000 merges, oldest first; worked out in half a second.

        A token was made from the two parts that all merges before it leave of its bytes.
        """
        made, merged = list(vocab.BYTES), dict[Pair, int]()
        for token in self.tokens[256:-1]:
            left, right = encode_piece(token, merged)
            merged[left, right] = len(made)
            made.append(token)
        return [(made[left], made[right]) for left, right in merged]

    @cached_property
    def _own(self) -> BPETokenizer:
        return BPETokenizer(self.ranks, self.merges, self.special_tokens)

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        check_unicode(text)
        starts = range(0, len(text) - BLOCK + 1, BLOCK)
        if any(text[start : start + BLOCK].isspace() for start in starts):
            return self._own.encode(text, allow_special)
        if allow_special:
            return self._encoding.encode(text, allowed_special="all")
        return self._encoding.encode_ordinary(text)

    def save(self, folder: str | Path) -> None:
        """See :meth:`BPETokenizer.save`: a folder that needs no download any more."""
        self._own.save(folder)


def load_tokenizer(name_or_folder: str | Path) -> Tokenizer:
    """Load ``"gpt2"``, or what a tokenizer's ``save`` has written into a folder.

    Raises DownloadError, or TokenizerError where the folder holds none or a damaged one.
    """
    if name_or_folder == "gpt2":
        return gpt2_tokenizer()
    folder = Path(name_or_folder)
    if (folder / "characters.json").is_file():
        return CharacterTokenizer(vocab.read_json(folder / "characters.json", str))
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
