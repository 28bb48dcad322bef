"""An exported folder to the Hugging Face hub: nothing leaves the machine before it was shown."""

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gptlib import paths
from gptlib.data.hub import libraries, one_line
from gptlib.errors import PretrainedError
from gptlib.files import wrong_file
from gptlib.pretrained.configuration import CONFIG
from gptlib.pretrained.huggingface import CARD, FIGURE, GENERATION_CONFIG
from gptlib.pretrained.tensors import WEIGHTS
from gptlib.pretrained.tokenizer_files import TOKENIZER, TOKENIZER_CONFIG

NEEDED = (CONFIG, WEIGHTS)
KNOWN = (
    *(*NEEDED, GENERATION_CONFIG, CARD, FIGURE),
    *(TOKENIZER, TOKENIZER_CONFIG, "vocab.json", "merges.txt", "characters.json"),
)
LOG_IN = (
    "put a token that may write into HF_TOKEN or a line HF_TOKEN=… of a file .env, "
    "or log in with `hf auth login`"
)


@dataclass(frozen=True)
class Parcel:
    """What would be sent, and where to."""

    repository: str  # owner/name
    address: str
    private: bool  # of a repository that is not there yet
    files: dict[str, Path]  # name there → file here

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.files.values())


def pack(folder: Path, repository: str, private: bool) -> Parcel:
    """Look at everything that would be sent; the network is not asked.

    Args:
        folder: what an export has written.
        repository: ``owner/name`` on the hub.
        private: whether a repository that is not there yet begins as private.

    Raises:
        PretrainedError: no such folder or name, or the folder holds anything else: it could be
            what nobody means to publish.
    """
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII):
        raise PretrainedError(f"{repository!r} is no name of a repository: write owner/name")
    if not folder.is_dir():
        raise PretrainedError(f"no folder {folder}: export a run first")
    files = {path.name: path for path in sorted(folder.iterdir())}
    for name in NEEDED:
        if name not in files:
            raise PretrainedError(f"{folder} holds no {name}: give a folder that was exported")
    for name, path in files.items():
        if name not in KNOWN or (wrong := wrong_file(path, path.lstat().st_size, 0)):
            what = name if name not in KNOWN else wrong
            raise PretrainedError(
                f"{folder}: {what}: only plain files that an export writes are sent: move it away"
            )
    endpoint = importlib.import_module("huggingface_hub.constants").ENDPOINT
    return Parcel(repository, f"{endpoint}/{repository}", private, files)


def find_token() -> str:
    """The token of whoever sends.

    Raises:
        PretrainedError: there is none, or the network is forbidden.
    """
    if paths.offline():
        raise PretrainedError("HF_HUB_OFFLINE=1 forbids the network: unset it to send")
    token = importlib.import_module("huggingface_hub").get_token() or paths.token_in_file()
    if not token:
        raise PretrainedError(f"no token for the hub: {LOG_IN}")
    return token


def send(parcel: Parcel, token: str) -> str:
    """Send all files as one commit, into a repository that is made if need be.

    Returns:
        The commit's address.

    Raises:
        PretrainedError: it was not accepted; of the files none is visible there.
    """
    hub: Any = libraries()[1]
    if paths.quiet():
        hub.utils.disable_progress_bars()
    try:
        place = {"repo_id": parcel.repository, "token": token}
        hub.create_repo(**place, private=parcel.private, exist_ok=True)
        operations = [
            hub.CommitOperationAdd(name, str(path)) for name, path in parcel.files.items()
        ]
        done = hub.create_commit(
            **place, operations=operations, commit_message="A model exported by gptlib"
        )
        return str(done.commit_url)
    except Exception as error:
        reason = one_line(error).replace(token, "…")
        status = getattr(getattr(error, "response", None), "status_code", None)
        way = "connect, or try again later"
        if status in (401, 403):
            way = f"see that your token may write there, or {LOG_IN}"
        raise PretrainedError(
            f"{parcel.address} did not take the files ({reason}): {way}"
        ) from None
