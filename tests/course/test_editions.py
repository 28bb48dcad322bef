"""The learner edition: stubs in place of solutions, and no learner's work overwritten."""

import contextlib
import io
import json
import os
import re

import matplotlib.pyplot as plt
import nbformat
import planted_exercises
import pytest
import torch
from course_notebooks import code, everything, planted, solution, write
from nbformat.v4 import new_markdown_cell

from gptcourse import STORED, paths
from gptcourse.errors import CourseError
from gptcourse.exercises.checks import EXERCISES
from gptcourse.grading.grade import sheet_of
from gptcourse.notebooks.cells import code_cells, has_tag, last_call, plain_python, read_notebook
from gptcourse.notebooks.edition import (
    MANIFEST,
    learner_edition,
    root_seen_from,
    stubbed,
    write_edition,
)
from gptcourse.notebooks.run import execute
from gptcourse.setup import Address

COMMITTED = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
PLANTED_GIVENS = {name: e.given for name, e in planted_exercises.EXERCISES.items() if e.given}
GIVENS = {name: each.given for name, each in EXERCISES.items() if each.given}
STUB = 'raise NotImplementedError("not done yet")'


# Stubs


@pytest.mark.parametrize(
    ("source", "stub"),
    [
        ('def my_f(x):\n    """Doc."""\n    return x', f'def my_f(x):\n    """Doc."""\n    {STUB}'),
        ("def my_f(x):\n    # why\n    return x\n    # end", f"def my_f(x):\n    {STUB}"),
        (
            'def my_f(\n    x: dict[str, int] = {"a": 1},  # (B)\n) -> int:\n    return x',
            f'def my_f(\n    x: dict[str, int] = {{"a": 1}},  # (B)\n) -> int:\n    {STUB}',
        ),
        ("async def my_f(x):\n    return x", f"async def my_f(x):\n    {STUB}"),
        ("@torch.no_grad()\ndef my_f(x): return x", f"@torch.no_grad()\ndef my_f(x):\n    {STUB}"),
        (
            'def my_f(x):\n    """é\n\n    Two lines."""  # note\n\n    y = x\n\n    return y',
            f'def my_f(x):\n    """é\n\n    Two lines."""  # note\n    {STUB}',
        ),
        (
            "def my_f(x):\n    return x\n\n\n# seen\ny = 1",
            f"def my_f(x):\n    {STUB}\n\n\n# seen\ny = 1",
        ),
        ("def other(x):\n    return x", "def other(x):\n    return x"),
    ],
)
def test_a_body_becomes_a_stub_and_all_else_stays(source, stub):
    assert stubbed(f"{source}\n\n\ncheck.f(my_f)", {}) == f"{stub}\n\n\ncheck.f(my_f)"


def test_of_a_class_only_forward_is_taken_out():
    source = (
        "class MyNorm(nn.Module):\n    def __init__(self):\n        self.a = 1\n\n"
        "    def forward(self, x):\n        return x + self.a\n\n\n"
        "class Other:\n    def forward(self):\n        return 1\n\n\n"
        "def my_norm(x):\n    return MyNorm()(x)\n\n\ncheck.norm(my_norm)"
    )
    found = stubbed(source, {})
    assert found == source.replace("return x + self.a", STUB).replace("return MyNorm()(x)", STUB)


def test_a_given_function_takes_the_solutions_place():
    assert stubbed(solution("total"), PLANTED_GIVENS) == solution(
        "total",
        "    result = 0\n    for number in numbers[:-1]:  # every number\n"
        "        result += number\n    return result\n    # the sum of all",
    )


def test_a_given_function_with_other_parameters_is_refused():
    with pytest.raises(CourseError, match=r"takes values, but the function given .* takes numbers"):
        stubbed(solution("total").replace("numbers: list", "values: list"), PLANTED_GIVENS)


def test_a_solution_that_is_no_python_is_refused():
    with pytest.raises(CourseError, match="is no Python: 'def my_f"):
        stubbed("def my_f(:", {})


# The notebook


@pytest.fixture
def notebooks(tmp_path):
    """The course's notebooks in small."""
    folder = tmp_path / "notebooks"
    write(folder / "81_planted.ipynb", *planted())
    cells = [new_markdown_cell("[next](81_planted.ipynb)"), code("print(1)", output="1\n")]
    write(folder / "82_other.ipynb", *cells)
    return folder


def test_a_notebook_loses_solutions_outputs_and_counts(notebooks):
    worked = read_notebook(notebooks / "81_planted.ipynb")
    folded = [cell.metadata for cell in code_cells(worked) if has_tag(cell, "solution")]
    assert folded == 3 * [{"tags": ["solution"], "jupyter": {"source_hidden": True}}]
    edition = learner_edition(worked, PLANTED_GIVENS)
    nbformat.validate(edition)
    cells = code_cells(edition)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert [cell.metadata for cell in cells[2:]] == 3 * [{"tags": ["exercise"]}]
    assert STUB in cells[2].source and "numbers[:-1]" in cells[3].source
    same = [(a.source, b.source) for a, b in zip(worked.cells, edition.cells, strict=True)]
    assert sum(a != b for a, b in same) == 3
    assert "2 * number" in code_cells(worked)[2].source  # the worked one is as it was


def test_links_upwards_lead_to_the_course_and_those_beside_stay(tmp_path):
    text = '[a](../README.md) ![b](../assets/x.svg) [c](02_b.ipynb) <img src="../assets/y.svg">'
    book = nbformat.v4.new_notebook(cells=[new_markdown_cell(text)])
    moved = learner_edition(book, {}, root_seen_from(tmp_path / "a b" / "out")).cells[0].source
    links = [part.split(end)[0] for part, end in zip(moved.split("](")[1:], ")))", strict=True)]
    assert (tmp_path / "a b/out" / links[0]).resolve() == paths.REPOSITORY / "README.md"
    assert links[1].endswith("/assets/x.svg") and links[2] == "02_b.ipynb"
    assert f'src="{links[1].removesuffix("x.svg")}y.svg"' in moved
    address = Address("https://github.com/someone/gpt", "v1")
    assert root_seen_from(tmp_path, address) == "https://github.com/someone/gpt/blob/v1"


def test_links_that_open_the_worked_notebook_elsewhere_are_left_out():
    book = nbformat.v4.new_notebook(cells=[new_markdown_cell("# 01\n\nOpen in [Colab](x) y\n\nz")])
    assert "Colab" not in learner_edition(book, {}).cells[0].source


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda cells: cells[3].metadata.pop("tags"), "cell 6 holds an answer: tag it solution"),
        (lambda cells: cells.append(code("def my_f():\n    return 1")), "cell 13 holds an answer"),
    ],
)
def test_an_answer_that_would_be_published_is_refused(tmp_path, change, words):
    cells = planted()
    change(cells)
    write(tmp_path / "notebooks" / "81_planted.ipynb", *cells)
    with pytest.raises(CourseError, match=f"81_planted.ipynb: .*{re.escape(words)}"):
        write_edition([], tmp_path / "out", PLANTED_GIVENS, tmp_path / "notebooks")
    assert not (tmp_path / "out").exists()


# The folder


@pytest.fixture
def edition(notebooks, tmp_path):
    """Write or renew an edition of some notebooks, or of all; return its folder."""

    def write_it(*wanted):
        write_edition(list(wanted), tmp_path / "learner", PLANTED_GIVENS, notebooks)
        return tmp_path / "learner"

    return write_it


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_edition_is_written_and_renewed_and_others_stay(notebooks, tmp_path):
    out = tmp_path / "deep" / "learner"
    assert write_edition(["81"], out, PLANTED_GIVENS, notebooks) == [out / "81_planted.ipynb"]
    write_edition(["82"], out, PLANTED_GIVENS, notebooks)
    assert names(out) == [MANIFEST, "81_planted.ipynb", "82_other.ipynb"]
    write(notebooks / "82_other.ipynb", code("2"))
    write_edition([], out, PLANTED_GIVENS, notebooks)
    assert renewed(out / "82_other.ipynb") and names(out.parent) == ["learner"]


def renewed(path):
    return code_cells(read_notebook(path))[1].source == "2"


def opened(out):
    """Do what JupyterLab does with a notebook that is only looked at."""
    book = nbformat.read(out / "81_planted.ipynb", 4)
    book.metadata.kernelspec.display_name = "Python 3 (ipykernel)"
    book.metadata.language_info.version = "3.12.1"
    nbformat.write(book, out / "81_planted.ipynb")
    (out / ".ipynb_checkpoints").mkdir()


@pytest.mark.parametrize("change", [opened, lambda out: (out / "81_planted.ipynb").unlink()])
def test_what_holds_no_work_is_renewed(edition, tmp_path, change):
    (tmp_path / "learner").mkdir()
    (tmp_path / "learner" / ".DS_Store").touch()
    out = edition()
    before = (out / "81_planted.ipynb").read_bytes()
    change(out)
    edition()
    assert (out / "81_planted.ipynb").read_bytes() == before


def learner_works(out):
    path = out / "81_planted.ipynb"
    path.write_text(path.read_text().replace("not done yet", "done"))


@pytest.mark.parametrize(
    "change",
    [
        learner_works,
        lambda out: (out / "81_planted.ipynb").write_text("{"),
        lambda out: (out / MANIFEST).unlink(),
        lambda out: (out / MANIFEST).write_text("[]"),
        lambda out: (out / MANIFEST).write_text(json.dumps({"files": None})),
    ],
)
def test_a_learners_work_is_never_overwritten(edition, tmp_path, change):
    out = edition()
    change(out)
    before = everything(out)
    with pytest.raises(CourseError, match=r"nothing was changed; (rename it|give a new folder)"):
        edition()
    assert everything(out) == before and names(tmp_path) == ["learner", "notebooks"]


def test_one_notebook_is_renewed_beside_a_learners_work(edition):
    out = edition()
    learner_works(out)
    (out / "mine.txt").write_text("x")
    (out / "82_other.ipynb").rename(out / "82_mine.ipynb")
    before = everything(out)
    edition("82")
    fresh = {out / "82_other.ipynb": before[out / "82_mine.ipynb"]}
    assert everything(out) | {out / MANIFEST: b""} == before | fresh | {out / MANIFEST: b""}


def test_the_notebooks_themselves_other_folders_and_files_are_refused(notebooks, tmp_path):
    (tmp_path / "file").write_text("x")
    before = everything(tmp_path)
    for out in (notebooks, tmp_path, tmp_path / "file", tmp_path / "file" / "learner"):
        with pytest.raises(CourseError):
            write_edition([], out, PLANTED_GIVENS, notebooks)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_full_disk_leaves_whole_notebooks_and_the_next_try_works(
    edition, notebooks, monkeypatch, failing
):
    out = edition()
    for name in ("81_planted", "82_other"):
        write(notebooks / f"{name}.ipynb", code("2"))
    replace, calls = os.replace, []

    def full(old, new):
        calls.append(new)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        edition()
    assert [renewed(path) for path in sorted(out.glob("*.ipynb"))] == [failing > 2, False]
    assert names(out) == [MANIFEST, "81_planted.ipynb", "82_other.ipynb"]
    edition()
    assert renewed(out / "82_other.ipynb")


# The committed notebooks


@pytest.fixture
def settings_kept():
    """The cells of imports set plots' style and torch's threads: put both back."""
    threads = torch.get_num_threads()
    with plt.rc_context():
        yield
    torch.set_num_threads(threads)


def verdicts(worked, notebook, tag):
    """Run imports, definitions and the cells of this tag; return what each last call said."""
    namespace, said = {"__name__": "__main__"}, {}
    sheet = sheet_of("", worked)
    for source in sheet.imports:
        exec(source, namespace)
    for source in sheet.definitions:
        with contextlib.suppress(NameError):
            exec(source, namespace)
    for cell in code_cells(notebook):
        if has_tag(cell, tag):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(plain_python(cell.source), namespace)
            said[last_call(cell.source)[0].removeprefix("check.")] = printed.getvalue()
    return said


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_stubs_are_not_done_yet_and_solutions_pass(path, settings_kept):
    worked = read_notebook(path)
    solved = verdicts(worked, worked, "solution")
    stubs = verdicts(worked, learner_edition(worked, GIVENS), "exercise")
    assert list(stubs) == list(solved)
    for name, said in solved.items():
        assert said.startswith(f"✓ {name}: "), said
    for name, said in stubs.items():
        sign = "✗" if name in GIVENS else "·"
        assert said.startswith(f"{sign} {name}: "), said
        assert name in GIVENS or said == f"· {name}: not done yet\n"


@pytest.mark.long
@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_learner_edition_runs_from_top_to_bottom_with_nothing_done(tmp_path, path):
    (copy,) = write_edition([path.stem], tmp_path / "learner", GIVENS)
    edition = read_notebook(copy)
    environment = {**STORED, "GPTLIB_RUNS": str(tmp_path / "runs")}
    execute(edition, copy.parent, environment, timeout=300)
    for cell in code_cells(edition):
        if has_tag(cell, "exercise"):
            said = "".join(output.get("text", "") for output in cell.outputs)
            given = last_call(cell.source)[0].removeprefix("check.") in GIVENS
            assert said.startswith("✗ " if given else "· "), said
            assert given or "not done yet" in said
