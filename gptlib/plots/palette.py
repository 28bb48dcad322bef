"""Colours and style of every figure of the course.

Colours are from Okabe & Ito 2008, which colour-blind readers can tell apart; lines that stand
together also differ in their stroke.
"""

from typing import Any

import matplotlib.pyplot as plt

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#6E6E6E",
}
TRAINING, VALIDATION, REFERENCE = PALETTE["blue"], PALETTE["vermillion"], PALETTE["grey"]

STYLE: Any = {
    "figure.figsize": (7.0, 4.5),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,  # makes room for labels, so that none is clipped
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.prop_cycle": plt.cycler(color=list(PALETTE.values())),
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def style() -> None:
    """Give every figure drawn from here on the course's look; once in a notebook."""
    plt.rcParams.update(STYLE)
