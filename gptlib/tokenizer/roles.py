"""Which special token ends a text, begins or pads one, or stands for what is unknown.

GPT-2 has one token for all of it, ``<|endoftext|>``. Others name theirs in files of their own.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from gptlib.errors import TokenizerError
from gptlib.files import write_json

ROLES = ("eos_token", "bos_token", "pad_token", "unk_token")
ROLES_FILE = "special_tokens_map.json"


def read_roles(folder: str | Path, special_tokens: Mapping[str, int]) -> dict[str, str]:
    """Role → special token, as Hugging Face's files beside a vocabulary say.

    Raises:
        TokenizerError: a file cannot be read, or names a token that is not special here.
    """
    roles: dict[str, str] = {}
    for path in (Path(folder) / ROLES_FILE, Path(folder) / "tokenizer_config.json"):
        try:
            content = json.loads(path.read_bytes()) if path.is_file() else {}
            named = {role: content[role] for role in ROLES if content.get(role) is not None}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise TokenizerError(f"{path} cannot be read: bring it again") from error
        for role, token in named.items():
            token = token.get("content") if isinstance(token, dict) else token
            if not isinstance(token, str) or token not in special_tokens:
                raise TokenizerError(
                    f"{path}: the {role} {token!r} is no special token of this vocabulary: give "
                    f"the files that belong together"
                )
            roles[role] = token
    return roles


def write_roles(folder: str | Path, roles: Mapping[str, str]) -> None:
    """Write ``special_tokens_map.json``, for :func:`read_roles`; nothing where all is as usual."""
    if set(roles.values()) - {"<|endoftext|>"}:
        write_json(Path(folder) / ROLES_FILE, dict(roles))
