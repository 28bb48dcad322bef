"""No file that is read can run code: nothing in the package imports a pickle in any disguise."""

import ast
from pathlib import Path

import pytest

import gptlib

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def runs_code(path):
    """Lines of a file that could run what a file to be read says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names) if {n.name.split(".")[0] for n in names} & PICKLES:
                yield f"{path.name}:{node.lineno} imports a pickle"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in PICKLES:
                yield f"{path.name}:{node.lineno} imports a pickle"
            case ast.ImportFrom(module="torch", names=names):
                if {name.name for name in names} & {"load", "save"}:
                    yield f"{path.name}:{node.lineno} imports torch.load or torch.save"
            case ast.Attribute(value=ast.Name(id="torch"), attr="load" | "save"):
                yield f"{path.name}:{node.lineno} uses torch.{node.attr}"
            case ast.keyword(arg="allow_pickle", value=value):
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"{path.name}:{node.lineno} allows pickles"


def test_nothing_in_the_package_reads_or_writes_pickles():
    files = sorted(Path(gptlib.__file__).parent.rglob("*.py"))
    assert len(files) > 30
    assert [line for path in files for line in runs_code(path)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import _pickle as p",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import torch\nsave = torch.save",
        "np.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=answer)",
    ],
)
def test_the_guard_sees_each_way_in(tmp_path, code):
    (tmp_path / "way.py").write_text(code)
    assert len(list(runs_code(tmp_path / "way.py"))) == 1
