"""Where things live. Together with :mod:`gptlib.environment` the only reader of variables.

``GPTLIB_DATA``     folder of downloaded texts (default: the user's cache folder)
``GPTLIB_CORPORA``  ``bundled`` uses the samples in ``data/`` outright: stable on every machine
``GPTLIB_RUNS``     folder of training runs (default: ``runs/`` where you are)
``HF_HUB_OFFLINE``  ``1`` forbids every download, as it does for Hugging Face's own libraries
``HF_TOKEN``        your token for the hub; read by the hub's own library, or from a file ``.env``
``TIKTOKEN_CACHE_DIR``  a folder that tiktoken has filled: asked first for GPT-2's vocabulary
``CI``              set by every CI service: progress bars stay silent
"""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
# The bundled texts: a wheel carries them inside the package, a clone beside it.
SAMPLES = next(f for f in (PACKAGE / "samples", PACKAGE.parent / "data") if f.is_dir())


def data_folder() -> Path:
    """The folder in which downloaded texts and vocabularies are kept; it may not exist yet."""
    return Path(os.environ.get("GPTLIB_DATA") or platformdirs.user_cache_dir("gptlib"))


def cache_folder() -> Path:
    """The user's own cache folder: for what no shared data folder should be asked to hold."""
    return Path(platformdirs.user_cache_dir("gptlib"))


def tiktoken_folder() -> Path | None:
    """The cache that the user has named for tiktoken, if there is one."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    return Path(folder) if folder else None


def runs_folder() -> Path:
    """The folder that holds training runs and the executed course; it may not exist yet."""
    return Path(os.environ.get("GPTLIB_RUNS") or Path.cwd() / "runs")


def variables(**added: str) -> dict[str, str]:
    """This process's variables with more, for a process that it starts."""
    return {**os.environ, **added}


def bundled_only() -> bool:
    """Whether corpora are replaced by the bundled samples, whatever else is at hand."""
    return os.environ.get("GPTLIB_CORPORA") == "bundled"


def offline() -> bool:
    """Whether nothing may be downloaded."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def token_in_file() -> str | None:
    """The token that a line ``HF_TOKEN=…`` of a file ``.env`` holds, here or beside the course."""
    for folder in (Path.cwd(), PACKAGE.parent):
        path = folder / ".env"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            name, _, value = line.removeprefix("export ").partition("=")
            if name.strip() == "HF_TOKEN" and (token := value.strip().strip("'\"")):
                return token
    return None


def quiet() -> bool:
    """Whether progress bars stay silent: outputs that are stored or compared must not move."""
    return bool(os.environ.get("CI")) or bundled_only()
