"""The course's drawings: SVG files in ``assets/`` that a notebook shows as a cell's result.

A stored output travels with the notebook, so a drawing is seen on Colab and Kaggle too, where
the notebook is opened without the files beside it.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from gptcourse.errors import CourseError
from gptcourse.paths import ASSETS


@dataclass(frozen=True, repr=False)
class Drawing:
    """One SVG picture with its text alternative."""

    svg: str  # the file's text
    description: str  # its <desc>: what a reader who cannot see it needs

    def __repr__(self) -> str:
        return self.description

    def _repr_svg_(self) -> str:
        return self.svg


def drawing(name: str) -> Drawing:
    """The drawing ``assets/<name>.svg``; as a cell's last line it shows itself.

    Raises CourseError when there is no such drawing, or it has no text alternative.
    """
    path = ASSETS / f"{name}.svg"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in ASSETS.glob("*.svg")))
        raise CourseError(f"no drawing {name!r} in {ASSETS}: there are {known}")
    svg = path.read_text(encoding="utf-8")
    written = ElementTree.fromstring(svg).findtext("{http://www.w3.org/2000/svg}desc") or ""
    if not written.strip():
        raise CourseError(f"{path.name} has no <desc>: write its text alternative there")
    return Drawing(svg, " ".join(written.split()))
