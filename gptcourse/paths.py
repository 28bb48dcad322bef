"""Where the course's own material lies: this package works inside a copy of the repository."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ASSETS = REPOSITORY / "assets"
RECORDINGS = ASSETS / "recordings"
NOTEBOOKS = REPOSITORY / "notebooks"

# What pages that the course writes have in common.
PAGE_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc }
td:nth-child(2), td:nth-child(3) { font-variant-numeric: tabular-nums }
.failed { color: #a40000; font-weight: bold }
"""
