"""The package's floors hold: imports point downwards, and what is light stays light."""

import subprocess
import sys

import floors
import pytest

import gptlib
from gptcourse import paths

LATE = "import sys; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"


@pytest.fixture
def package(tmp_path):
    """A package of a few files that keeps every rule; tests plant one fault in it."""

    def write(**changed):
        files = {
            "__init__": "",
            "errors": "import sys\n",
            "environment": "import os\nHOME = os.environ['HOME']\n",
            "config": "from gptlib.errors import E\n",
            "model": "import torch\nfrom gptlib.config import C\n",
            "plots": "import matplotlib\n",
            "tokenizer/__init__": "",
            "tokenizer/bpe": "from gptlib import files\nfrom gptlib.tokenizer import Tokenizer\n",
            "cli": "def run():\n    from gptlib.model import GPT\n",
        }
        for name, text in {
            **files,
            **{k.replace("__in__", "/"): v for k, v in changed.items()},
        }.items():
            path = tmp_path / "gptlib" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "gptlib"

    return write


@pytest.mark.parametrize("name", floors.FLOORS)
def test_the_packages_keep_every_rule(name):
    assert floors.complaints(paths.REPOSITORY / name) == []


def test_a_package_without_fault_has_no_complaint(package):
    assert floors.complaints(package()) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("config", "from gptlib.model import GPT\n", "gptlib.config: imports upward: gptlib.model"),
        ("config", "import gptlib.model\n", "gptlib.config: imports upward: gptlib.model"),
        ("model", "import gptcourse\n", "gptlib.model: line 1 names gptcourse"),
        (
            "environment",
            "NOTEBOOKS = 'notebooks/'\n",
            "gptlib.environment: line 1 names notebooks/",
        ),
        ("model", "from gptlib import plots\n", "gptlib.model: imports upward: gptlib.plots"),
        ("__init__", "from gptlib import environment\n", "imports nothing"),
        ("__init__", "import torch\n", "gptlib: imports torch"),
        ("plots", "import torch.nn\n", "gptlib.plots: imports torch"),
        ("plots", "def f():\n    import torch\n", "gptlib.plots: imports torch"),
        ("model", "import numpy\n", "the model core imports numpy"),
        ("model", "import os\nos.getenv('X')\n", "line 2 reads an environment variable"),
        ("tokenizer__in__bpe", "import os\nos.environ['X']\n", "reads an environment variable"),
        ("model", "def f():\n    from gptlib.config import C\n", "inside a function"),
        ("extra", "", "gptlib.extra: stands on no floor"),
        ("errors", "from . import environment\n", "write the module's full name"),
    ],
)
def test_a_planted_fault_is_found(package, file, text, complaint):
    assert complaint in "\n".join(floors.complaints(package(**{file: text})))


def test_a_circle_inside_a_folder_is_found(package):
    root = package(
        tokenizer__in__one="from gptlib.tokenizer.two import b\n",
        tokenizer__in__two="from gptlib.tokenizer.one import a\n",
    )
    assert floors.complaints(root) == ["a circle: gptlib.tokenizer.one → gptlib.tokenizer.two"]


@pytest.mark.parametrize(
    "statement",
    [
        "import gptlib",
        "import gptlib.cli",
        "import gptcourse.notebooks.run",
        "import gptcourse.setup",
    ],
)
def test_light_imports_load_no_torch(statement):
    done = subprocess.run([sys.executable, "-c", f"{statement}; {LATE}"])
    assert done.returncode == 0


def test_the_check_of_light_imports_can_fail():
    done = subprocess.run([sys.executable, "-c", f"import gptlib.model; {LATE}"])
    assert done.returncode == 1


def test_help_loads_no_torch():
    program = (
        "import sys\nfrom gptlib.cli import main\n"
        "sys.argv = ['gptlib', 'train', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n" + LATE
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and "--steps N" in done.stdout


@pytest.mark.parametrize("name", " ".join(gptlib.FACE.values()).split())
def test_every_name_of_the_face_of_the_package_is_there(name):
    assert getattr(gptlib, name) is not None
