"""Stamp the course's address and tag into the set-up cell, the notebooks' links and the README."""

import re
from pathlib import Path

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.in_step import refresh
from gptcourse.setup import HOME, Address
from gptlib.files import atomic_write

GITHUB = re.compile(r"(https://github\.com/[\w.-]+/[\w.-]+?)(\.git)?/?")
SETUP_CELL = "gptcourse/setup.py"


def publish(
    repository: str, tag: str, root: Path = paths.REPOSITORY, old: Address = HOME
) -> list[str]:
    """Write ``repository`` and ``tag`` wherever the course names them; return the files changed.

    Making the commit and the tag, and pushing them, stay the maintainer's own steps.
    Raises CourseError when the address is not one that Colab and Kaggle can open.
    """
    found = GITHUB.fullmatch(repository)
    if not found:
        raise CourseError(
            f"{repository} is no address like https://github.com/owner/name: "
            "Colab and Kaggle open notebooks from GitHub"
        )
    if not re.fullmatch(r"[\w.][\w./-]*", tag):
        raise CourseError(f"{tag!r} cannot name a tag: use letters, digits, dots and dashes")
    new = Address(found[1], tag)
    changed = []
    for name, stamp in ((SETUP_CELL, _stamp_home), ("README.md", _stamp_text)):
        text = (root / name).read_text(encoding="utf-8")
        stamped = stamp(text, old, new)
        if stamped != text:
            changed.append(name)
            with atomic_write(root / name) as file:
                file.write(stamped.encode("utf-8"))
    if refresh([], folder=root / "notebooks", address=new):
        changed.append("notebooks")
    return changed


def _stamp_home(text: str, old: Address, new: Address) -> str:
    """Change the one line that holds the course's address."""
    return re.sub(
        r"(?m)^HOME = .*$", lambda _: f'HOME = Address("{new.repository}", "{new.tag}")', text
    )


def _stamp_text(text: str, old: Address, new: Address) -> str:
    """Change links and clone commands, the tag in them included."""
    for between in ("/blob/", "/tree/"):
        text = text.replace(old.slug + between + old.tag, new.slug + between + new.tag)
    return text.replace(old.slug, new.slug)
