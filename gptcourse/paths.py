"""Where the course's own material lies: this package works inside a copy of the repository."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ASSETS = REPOSITORY / "assets"
RECORDINGS = ASSETS / "recordings"
NOTEBOOKS = REPOSITORY / "notebooks"
