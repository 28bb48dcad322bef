"""A prepared folder to read, and one to damage."""

import shutil
from pathlib import Path

import pytest
from shard_texts import prepared_folder


@pytest.fixture(scope="session")
def intact(tmp_path_factory):
    """One prepared folder, to be copied."""
    return prepared_folder(tmp_path_factory.mktemp("intact") / "prepared")


@pytest.fixture
def copy(intact, tmp_path):
    """A prepared folder, to be damaged."""
    return Path(shutil.copytree(intact, tmp_path / "prepared"))
