"""Where GPT-2's vocabulary comes from: a cache, tiktoken's server, or the package index.

One file, ``gpt2.tiktoken``: a line for each of 50,256 tokens, its bytes in base64 and its id.
Whatever brings it, its sha256 decides, and it is kept in the user's own cache folder: tiktoken
by itself would keep it in a folder that all users of the machine share.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from gptlib import paths
from gptlib.errors import DownloadError, VocabularyUnavailable
from gptlib.files import atomic_write, download, lock, sha256_of
from gptlib.tokenizer.spelling import BYTE_TO_CHARACTER, parse_merges, unspell

FILE_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

# tiktoken's server; the encoding r50k_base is GPT-2's vocabulary in tiktoken's own format.
SERVER = "https://openaipublic.blob.core.windows.net"
FILE_URL = f"{SERVER}/encodings/r50k_base.tiktoken"
SERVER_PATIENCE = 10.0  # seconds: without a network the next source should be asked soon

# GPT-2's merges, as tiktoken keeps them for its encoding gpt2: under the sha1 of their address.
MERGES_NAME = hashlib.sha1(f"{SERVER}/gpt-2/encodings/main/vocab.bpe".encode()).hexdigest()
MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"

# A pure wheel (MIT licence, 0.9 MB) that carries the file, for networks with a package index only.
WHEEL = "mlx-whisper==0.4.3"
WHEEL_SHA256 = "6b82b6597a994643a3e5496c7bc229a672e5ca308458455bfe276e76ae024489"
WHEEL_MEMBER = "mlx_whisper/assets/gpt2.tiktoken"
PIP_PATIENCE = 120.0  # seconds for the whole command

Ranks = dict[bytes, int]


def gpt2_ranks(tiktoken_folder: Path | None = None) -> Ranks:
    """The bytes of GPT-2's 50,256 ordinary tokens → their ids, from the first source that has them.

    Args:
        tiktoken_folder: a cache that tiktoken has filled, asked first; none by default.

    Raises:
        VocabularyUnavailable: no source has them; says why, and names every way out.
    """
    file = paths.cache_folder() / "gpt2.tiktoken"
    sources: list[tuple[Callable[[Path], Ranks], Path]] = [(_from_cache, file)]
    if tiktoken_folder is not None:
        sources.insert(0, (_from_tiktoken_cache, tiktoken_folder))
    if not paths.offline():
        sources += [(_from_server, file), (_from_package_index, file)]
    reasons = []
    for source, place in sources:
        try:
            return source(place)
        except (DownloadError, OSError) as error:
            reasons.append(str(error))
    raise VocabularyUnavailable(
        f"GPT-2's vocabulary is not stored here and no source gave it ({'; '.join(reasons)}): "
        f"connect to the internet or to a package index that has {WHEEL} (and leave HF_HUB_OFFLINE "
        f"unset), set TIKTOKEN_CACHE_DIR to a cache that tiktoken has filled with gpt2, or copy "
        f"r50k_base.tiktoken to {file}"
    )


def _from_tiktoken_cache(folder: Path) -> Ranks:
    """GPT-2's merges in a folder that tiktoken uses as its cache."""
    merges = folder / MERGES_NAME
    if not merges.is_file() or sha256_of(merges) != MERGES_SHA256:
        raise FileNotFoundError(f"{folder} does not hold tiktoken's gpt2")
    tokens = [bytes([byte]) for byte in BYTE_TO_CHARACTER]
    for left, right in parse_merges(merges):
        tokens.append(unspell(left + right))
    return {token: rank for rank, token in enumerate(tokens)}


def _from_cache(file: Path) -> Ranks:
    """The file, where an earlier call left it."""
    if not file.is_file() or sha256_of(file) != FILE_SHA256:
        raise FileNotFoundError(f"{file} is missing or damaged")
    ranks = {}
    for line in file.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    return ranks


def _from_server(file: Path) -> Ranks:
    """The file, from where tiktoken itself downloads it."""
    return _from_cache(download(FILE_URL, file, FILE_SHA256, tries=1, timeout=SERVER_PATIENCE))


def _from_package_index(file: Path) -> Ranks:
    """The file, out of a wheel that pip downloads and nobody installs."""
    with lock(file), tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--retries=1"]
        command += ["--timeout=10", f"--dest={folder}", WHEEL]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=PIP_PATIENCE)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
            raise DownloadError(f"pip download {WHEEL}: {lines[-1]}") from error
        except subprocess.TimeoutExpired as error:
            reason = f"pip download {WHEEL}: not done after {PIP_PATIENCE:g} seconds"
            raise DownloadError(reason) from error
        wheel = next(Path(folder).glob("*.whl"))
        if sha256_of(wheel) != WHEEL_SHA256:
            raise DownloadError(f"pip download {WHEEL}: another file came under that name")
        with zipfile.ZipFile(wheel) as archive, atomic_write(file) as kept:
            kept.write(archive.read(WHEEL_MEMBER))
    return _from_cache(file)
