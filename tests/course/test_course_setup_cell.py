"""The set-up cell works wherever a notebook is opened: each place is imitated in a folder.

The cell runs in a fresh environment that has no gptlib. Packages are stubs there, but pip is real
and installs what is missing from a folder of wheels; the course's remote is a local one.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from gptcourse import paths
from gptcourse.setup import HOME, Address, setup_cell

PACKAGES = ["numpy", "tiktoken", "regex", "safetensors", "datasets", "matplotlib", "tqdm"]
PACKAGES += ["tokenizers", "huggingface_hub", "pyarrow", "typer", "filelock", "loguru"]
TORCH = """
from types import SimpleNamespace as Space
float32, bfloat16, float16, dtype, device = "torch.float32", "bf16", "fp16", str, str
class device(str):
    type = property(str)
cuda = Space(is_available=lambda: False)
backends = Space(mps=Space(is_available=lambda: False))
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A new environment with pip and stubs; platformdirs, which gptlib needs, is missing."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    packages = next(folder.glob("[Ll]ib/**/site-packages"))
    for name in PACKAGES:
        (packages / f"{name}.py").write_text("")
    (packages / "torch.py").write_text(TORCH)
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A copy of what the course's repository holds, with a wheel of the missing package."""
    root = tmp_path_factory.mktemp("origin") / "gptlib"
    leave = shutil.ignore_patterns("__pycache__")
    for package in ("gptlib", "gptcourse", "data"):
        shutil.copytree(paths.REPOSITORY / package, root / package, ignore=leave)
    shutil.copy(paths.REPOSITORY / "pyproject.toml", root)
    (root / "notebooks").mkdir()
    (root / "notebooks" / "README").write_text("git keeps no empty folder")
    return root


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with a wheel of platformdirs, small enough to read."""
    folder = tmp_path_factory.mktemp("wheels")
    with zipfile.ZipFile(folder / "platformdirs-4.0-py3-none-any.whl", "w") as wheel:
        about = "platformdirs-4.0.dist-info"
        wheel.writestr("platformdirs.py", "def user_cache_dir(name): return f'cache-of-{name}'\n")
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: platformdirs\nVersion: 4.0\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return folder


@pytest.fixture(scope="module")
def remote(course):
    """The course as a git repository with a tag: ``file://`` stands in for GitHub."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: a clone cannot be tried")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=course, check=True)
    return Address(course.as_uri(), "v1")


@pytest.fixture
def open_notebook(fresh, wheels, tmp_path):
    """Run the cell in a folder, as a kernel there would; return what the process said."""

    def run(folder, address=HOME, find_wheels=True, **variables):
        folder.mkdir(parents=True, exist_ok=True)
        python = fresh / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        forget(fresh, "platformdirs")
        cell = setup_cell(address).replace("/kaggle/input", str(tmp_path / "kaggle" / "input"))
        code = cell + "\nimport gptlib, gptcourse"
        code += "\nassert Path(gptcourse.__file__).parents[1] == Path(gptlib.__file__).parents[1]"
        code += "\nprint('gptlib from', gptlib.__file__)"
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GPTLIB"))
        }
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels if find_wheels else "")}
        environment |= variables
        return subprocess.run(
            [python, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
        )

    return run


def forget(fresh, name):
    """Remove an installed package, faster than pip does."""
    for found in list(fresh.glob(f"[Ll]ib/**/site-packages/{name}*")):
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def gptlib_of(done) -> Path:
    """Return the root of the gptlib that the cell found."""
    assert done.returncode == 0, done.stderr
    assert "installing: platformdirs\n" in done.stdout
    assert "device   cpu, float32 (no GPU found)" in done.stdout
    return Path(done.stdout.rsplit("gptlib from ", 1)[1].strip()).resolve().parent.parent


def problem_of(done) -> str:
    """Return the last line of the error that the cell ended with."""
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_it_is_short_enough_to_read():
    lines = setup_cell().splitlines()
    assert len(lines) <= 25 and max(map(len, lines)) <= 100


def test_in_this_repository_it_finds_the_code_beside_the_notebooks(open_notebook):
    assert gptlib_of(open_notebook(paths.NOTEBOOKS)) == paths.REPOSITORY


def test_on_colab_it_clones_the_tag_once(open_notebook, remote, tmp_path):
    content = tmp_path / "content"
    for address in (remote, Address("file:///gone", "v1")):  # the second time nothing is fetched
        done = open_notebook(content, address, COLAB_RELEASE_TAG="release-colab-20260801")
        assert gptlib_of(done) == (content / "gptlib-course").resolve()


@pytest.mark.parametrize("mount", ["gpt-course", "datasets/someone/gpt-course", "zip/gptlib-main"])
def test_on_kaggle_without_internet_it_finds_an_attached_data_set(
    open_notebook, course, wheels, tmp_path, mount
):
    data_set = tmp_path / "kaggle" / "input" / mount
    shutil.copytree(course, data_set)
    shutil.copytree(wheels, data_set / "wheels")
    done = open_notebook(
        tmp_path / "working",
        Address("file:///gone", "v1"),
        find_wheels=False,
        KAGGLE_KERNEL_RUN_TYPE="Batch",
    )
    assert gptlib_of(done) == data_set.resolve()


def test_without_internet_and_data_set_it_says_both_ways_out(open_notebook, tmp_path):
    done = open_notebook(tmp_path / "working", Address("file:///gone", "v1"))
    problem = problem_of(done)
    assert "switch the internet on" in problem and "data set" in problem


def test_before_publication_it_says_that_there_is_no_address(open_notebook, tmp_path):
    problem = problem_of(open_notebook(tmp_path / "working", GIT_ALLOW_PROTOCOL="none"))
    assert "OWNER" in problem and "no address yet" in problem


def test_it_uses_the_course_that_opened_the_notebook_where_no_checkout_is_near(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", setup_cell()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(paths.REPOSITORY)},  # as ``gptcourse open`` sets it
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "gptlib-course").exists()
