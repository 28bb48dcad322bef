"""Refuses an old Python at once, before anything is downloaded; pyproject.toml says the rest."""

import sys

from setuptools import setup

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"gptlib needs Python 3.11 or newer, this is {sys.version.split()[0]}")
setup()
