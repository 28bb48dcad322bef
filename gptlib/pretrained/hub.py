"""OpenAI's weights from the Hugging Face hub, at fixed revisions, kept in the hub's own cache."""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from gptlib import paths
from gptlib.data.hub import libraries
from gptlib.errors import DownloadError, PretrainedError
from gptlib.files import sha256_of
from gptlib.pretrained.tensors import WEIGHTS


class Release(NamedTuple):
    """One of OpenAI's models as the hub holds it."""

    repository: str
    revision: str  # a commit: what lies behind it never changes
    size: str  # of the download


RELEASES = {
    "gpt2": Release("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e", "548 MB"),
    "gpt2-medium": Release(
        "openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da", "1.5 GB"
    ),
    "gpt2-large": Release(
        "openai-community/gpt2-large", "32b71b12589c2f8d625668d2335a01cac3249519", "3.2 GB"
    ),
    "gpt2-xl": Release(
        "openai-community/gpt2-xl", "15ea56dee5df4983c59b2538573817e1667135e2", "6.4 GB"
    ),
}


def fetch(name: str) -> Path:
    """The folder with a model's weights, downloaded unless the hub's cache has it.

    A download whose connection breaks goes on where it stopped; what came is held against the
    sha256 that the hub names for it.

    Raises:
        PretrainedError: it is not stored here and did not come; the message names each way out.
    """
    release = RELEASES[name]
    hub = importlib.import_module("huggingface_hub")
    kept = hub.try_to_load_from_cache(release.repository, WEIGHTS, revision=release.revision)
    if isinstance(kept, str):
        return Path(kept).parent
    try:
        return _download(release).parent
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        way = "unset HF_HUB_OFFLINE and connect" if paths.offline() else "connect and try again"
        raise PretrainedError(
            f"{name} ({release.repository}, {release.size}) is not stored here and did not come "
            f"({reason}): {way}, or give a folder with its config.json and {WEIGHTS}"
        ) from error


def _download(release: Release) -> Path:
    """Download the weights and check them; what is not what the hub names is removed."""
    if paths.offline():
        raise DownloadError("HF_HUB_OFFLINE=1 forbids the network")
    hub: Any = libraries()[1]
    place = (release.repository, WEIGHTS)
    facts = hub.get_hf_file_metadata(hub.hf_hub_url(*place, revision=release.revision))
    path = Path(hub.hf_hub_download(*place, revision=release.revision))
    if sha256_of(path) != facts.etag:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise DownloadError(f"another file came than the one with sha256 {facts.etag[:12]}…")
    return path
