"""Install the packages that are missing, and nothing else; standard library only.

Colab and Kaggle bring most packages with them. Their torch, numpy and IPython belong to the
machine's drivers and to the running kernel: they are never installed, upgraded or replaced.
"""

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from gptlib.errors import GPTLibError

ROOT = Path(__file__).resolve().parent.parent
NEVER = ("torch", "numpy", "ipython")


class PackagesMissing(GPTLibError):
    """Packages that are needed, not here, and could not be installed."""


def missing(root: Path = ROOT) -> list[str]:
    """Return the requirements in ``pyproject.toml`` whose package cannot be imported.

    Every package that gptlib needs is imported under the name by which it is installed.
    An installed copy of gptlib has no ``pyproject.toml`` beside it: pip has seen to the rest.
    """
    declared = root / "pyproject.toml"
    if not declared.is_file():
        return []
    wanted = tomllib.loads(declared.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [line for line in wanted if importlib.util.find_spec(_name(line)) is None]


def install_missing(root: Path = ROOT) -> list[str]:
    """Install what is missing with pip, from ``wheels/`` beside the package where there is one.

    Returns the requirements that were installed; raises PackagesMissing with the way out when
    that fails, or when one of torch, numpy and IPython is what is missing.
    """
    wanted = missing(root)
    refused = [line for line in wanted if _name(line) in NEVER]
    if refused:
        raise PackagesMissing(
            f"{', '.join(map(_name, refused))} is missing from this Python ({sys.executable}): "
            "run pip install -r requirements.txt in the course's folder, then restart the kernel"
        )
    if not wanted:
        return []
    print("installing what is missing:", ", ".join(map(_name, wanted)))
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(_keep_installed()), encoding="utf-8")
        done = subprocess.run(
            _pip_command(wanted, constraints, root / "wheels"), capture_output=True, text=True
        )
    importlib.invalidate_caches()
    if done.returncode:
        last = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        raise PackagesMissing(
            f"could not install {', '.join(map(_name, wanted))}: switch the internet on "
            f"(Kaggle: Settings → Internet) or put their wheels into {root / 'wheels'} ({last})"
        )
    return wanted


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def _keep_installed() -> list[str]:
    """Return pins that forbid pip to touch torch, numpy and IPython on the way."""
    pins = []
    for name in NEVER:
        try:
            pins.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return pins


def _pip_command(wanted: list[str], constraints: Path, wheels: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "1"]
    command += ["--disable-pip-version-check", "--constraint", str(constraints)]
    if wheels.is_dir():  # a data set attached on Kaggle without internet
        command += ["--no-index", "--find-links", str(wheels)]
    return command + wanted
