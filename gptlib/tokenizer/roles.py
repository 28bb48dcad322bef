"""Which special token ends a text, begins or pads one, or stands for what is unknown.

GPT-2 has one token for all of it, ``<|endoftext|>``. Others name theirs in files of their own.
"""

from collections.abc import Mapping
from pathlib import Path

from gptlib.errors import TokenizerError
from gptlib.tokenizer.vocabulary import read_json

ROLES = ("eos_token", "bos_token", "pad_token", "unk_token")
ROLES_FILE = "special_tokens_map.json"


def read_roles(folder: Path, special_tokens: Mapping[str, int]) -> dict[str, str]:
    """Role → special token, as Hugging Face's files in a folder say; none where there are none."""
    roles: dict[str, str] = {}
    for path in (folder / ROLES_FILE, folder / "tokenizer_config.json"):
        content = read_json(path, dict) if path.is_file() else {}
        for role in ROLES:
            token = content.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str) and token in special_tokens:
                roles[role] = token
            elif token is not None:
                raise TokenizerError(
                    f"{path}: the {role} {token!r} is no special token of this vocabulary: give "
                    "the files that belong together"
                )
    return roles
