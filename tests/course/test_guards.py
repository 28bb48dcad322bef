"""What every committed notebook holds to, and a planted fault for each guard."""

import nbconvert
import nbformat
import pytest
from course_notebooks import code, notebook, planted, write
from nbformat.v4 import new_markdown_cell, new_output

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.exercises.catalogue import EXERCISES
from gptcourse.notebooks import guards
from gptcourse.notebooks.cells import read_notebook
from gptcourse.notebooks.guards import sections
from gptcourse.notebooks.in_step import quotes, refresh

COMMITTED = sorted(paths.NOTEBOOKS.glob("*.ipynb"))


def fail_with(found):
    """Fail with every line that was found; a comparison of lists would show the first alone."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_committed_notebook_satisfies_every_guard(path):
    fail_with(guards.complaints(path))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_notebook_quotes_the_package(path):
    quoted = list(quotes(read_notebook(path), path.stem))
    assert len(quoted) >= 2 and all(file.startswith("gptlib/") for file, _ in quoted)


def test_each_definition_is_quoted_in_one_notebook_only():
    fail_with(guards.quoted_twice(COMMITTED))


def test_a_definition_quoted_twice_is_found(tmp_path):
    def quoting(file, *names):
        return code(
            "\n".join([f"# {file}", *(f"def {name}(): pass" for name in names)]), ["in-step"]
        )

    one = write(tmp_path / "01_one.ipynb", quoting("a.py", "f", "g"))
    two = write(tmp_path / "02_two.ipynb", quoting("a.py", "g"), quoting("b.py", "f"))
    assert guards.quoted_twice([one, two]) == ["a.py: g"]


def complaints_about(*cells, tmp_path=None, change=lambda book: None, name="81_title"):
    """Return the complaints about a notebook with one planted fault."""
    book = notebook(*cells)
    change(book)
    path = tmp_path / f"{name}.ipynb"
    nbformat.write(book, path)
    return "\n".join(guards.complaints(path))


def test_a_notebook_without_fault_has_no_complaint(tmp_path):
    timed = code("# reason: a time differs\nprint(1)", ["nbval-ignore-output"], output="1")
    cells = [code("print(1)", output="1\n"), timed, code("assert 1 < 2")]
    assert complaints_about(*cells, tmp_path=tmp_path) == ""


def test_an_unexecuted_cell_is_found(tmp_path):
    def forget(book):
        book.cells[2].execution_count = None

    found = complaints_about(code("1"), tmp_path=tmp_path, change=forget)
    assert "code cell 2 has execution count None" in found


def test_cells_executed_out_of_order_are_found(tmp_path):
    def swap(book):
        book.cells[2].execution_count, book.cells[3].execution_count = 3, 2

    found = complaints_about(code("1"), code("2"), tmp_path=tmp_path, change=swap)
    assert "code cell 2 has execution count 3" in found


def test_a_stored_error_is_found(tmp_path):
    cell = code("1 / 0")
    cell.outputs = [new_output("error", ename="ZeroDivisionError", evalue="by 0", traceback=[])]
    assert "stores an error: ZeroDivisionError" in complaints_about(cell, tmp_path=tmp_path)


def test_a_folder_of_one_machine_is_found(tmp_path):
    cell = code("print(1)", output="saved in /home/ada/runs\n")
    assert "a folder of one machine" in complaints_about(cell, tmp_path=tmp_path)


@pytest.mark.parametrize("old", ["Set-up, the same", "profile = setup()"])
def test_a_changed_set_up_cell_is_found(tmp_path, old):
    def change(book):
        book.cells[1].source = book.cells[1].source.replace(old, "changed")

    found = complaints_about(tmp_path=tmp_path, change=change)
    assert "the set-up cell differs" in found and "gptcourse refresh" in found


def test_a_missing_or_second_set_up_cell_is_found(tmp_path):
    def untag(book):
        book.cells[1].metadata = {}

    assert "0 cells are tagged setup" in complaints_about(tmp_path=tmp_path, change=untag)
    second = code("1", ["setup"])
    assert "2 cells are tagged setup" in complaints_about(second, tmp_path=tmp_path)


@pytest.mark.parametrize(("old", "new"), [("available()", "built()"), ("# The floor", "# A floor")])
def test_a_changed_package_definition_or_comment_is_found(tmp_path, old, new):
    source = "def f():\n    # The floor\n    return available()\n"
    (tmp_path / "part.py").write_text(source)
    book = notebook(code("# part.py\n" + source.rstrip(), ["in-step"]))
    assert guards.out_of_step(book, "81_title", tmp_path) == []
    (tmp_path / "part.py").write_text(source.replace(old, new))
    (complaint,) = guards.out_of_step(book, "81_title", tmp_path)
    assert "gptcourse refresh" in complaint and new in complaint


def test_an_in_step_cell_that_quotes_nothing_is_found(tmp_path):
    found = complaints_about(code("# gptlib/model.py", ["in-step"]), tmp_path=tmp_path)
    assert "81_title.ipynb, cell 3 is tagged in-step but defines nothing" in found


def test_more_than_four_uncompared_cells_are_found(tmp_path):
    cells = [code(f"# reason\nassert {n} < 9", ["nbval-ignore-output"]) for n in range(5)]
    assert "5 cells are tagged nbval-ignore-output" in complaints_about(*cells, tmp_path=tmp_path)


def test_an_uncompared_cell_needs_a_reason_and_a_bound(tmp_path):
    bare = code("print(1)", ["nbval-ignore-output"])
    found = complaints_about(bare, code("print(2)"), code("assert True"), tmp_path=tmp_path)
    assert "say why in a comment" in found and "assert a bound" in found


@pytest.mark.parametrize("tag", ["nbval-skip", "raises-exception", "nbval-raises-exception"])
def test_a_tag_that_lets_a_cell_pass_untested_is_found(tmp_path, tag):
    assert f"is tagged {tag}" in complaints_about(code("1", [tag]), tmp_path=tmp_path)


def test_a_comment_that_steers_nbval_is_found(tmp_path):
    assert "steers nbval" in complaints_about(code("# NBVAL_SKIP\n1"), tmp_path=tmp_path)


def test_long_cells_are_found(tmp_path):
    found = complaints_about(code("x = 1\n" * 26), tmp_path=tmp_path)
    assert "has 26 lines, 25 allowed" in found
    body = "class A:\n" + "    x = 1\n" * 39
    assert "lines" not in complaints_about(code(body), tmp_path=tmp_path)
    assert "41 lines" in complaints_about(code(body + "    y = 1"), tmp_path=tmp_path)
    essay = new_markdown_cell("word " * 131)
    assert "131 words" in complaints_about(essay, tmp_path=tmp_path)


def test_widget_state_is_found(tmp_path):
    def widgets(book):
        book.metadata["widgets"] = {}

    assert "widget state" in complaints_about(tmp_path=tmp_path, change=widgets)


def test_times_in_the_metadata_are_found(tmp_path):
    def timed(book):
        book.cells[2].metadata["execution"] = {"iopub.execute_input": "2026-01-01"}

    found = complaints_about(code("1"), tmp_path=tmp_path, change=timed)
    assert "not in the course's form" in found


JUPYTERS = {  # what JupyterLab writes into a notebook that was opened and looked at
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.12.1",
    },
}


def test_what_jupyter_writes_by_itself_is_no_fault_and_refresh_takes_it_out(tmp_path):
    def opened(book):
        book.metadata.update(nbformat.from_dict(JUPYTERS))

    assert complaints_about(code("1"), tmp_path=tmp_path, change=opened) == ""
    assert "81_title.ipynb: not in the course's form" in refresh([], folder=tmp_path)
    found = read_notebook(tmp_path / "81_title.ipynb")
    assert found == notebook(code("1")) and refresh([], check=True, folder=tmp_path) == ""


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_notebook_converts_to_a_python_file(path):
    source, resources = nbconvert.ScriptExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    compile(source, "converted", "exec")


def test_a_large_notebook_is_found(tmp_path):
    cell = code("print(1)", output="x" * 500_001)
    assert "500,000 allowed" in complaints_about(cell, tmp_path=tmp_path)


def test_a_file_that_is_no_notebook_is_a_named_error(tmp_path):
    path = write(tmp_path / "81_title.ipynb")
    path.write_text(path.read_text()[:-200])
    with pytest.raises(CourseError, match=r"81_title\.ipynb cannot be read"):
        read_notebook(path)


def test_exercises_in_form_have_no_complaint(tmp_path):
    assert complaints_about(*planted(), tmp_path=tmp_path) == ""


def in_source(old, new):
    def change(book):
        found = [cell for cell in book.cells if old in cell.source]
        assert found
        for cell in found:
            cell.source = cell.source.replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_source("check.total(my_total)", ""), "does not end with check.name(my_name) or swap"),
        (in_source("check.total(my_total)", "check.total(1)"), "check.total(my_total)"),
        (in_source("check.total(my_total)", "check.total(my_sum)"), "defines no my_sum"),
        (in_source("check.total(my_total)", "my_total([])"), "does not end with check.name"),
        (in_source("def my_total", "def total"), "defines no my_total"),
        (in_source("<details>", ""), "has 0 folded hints in the cell above, 3 are due"),
        (in_source("Exercise 1.2", "Exercise 1.3"), "is called Exercise 1.3, 1.2 is due"),
        (in_source("# 01 Title", "# 02 Title"), "is called Exercise 1.1, 2.1 is due"),
        (in_source("5 minutes", "some time"), "no '### Exercise N.M"),
        (in_source("★☆☆", "★☆☆☆"), "no '### Exercise N.M"),
        (in_source("★☆☆ · ", ""), "no '### Exercise N.M"),
        (lambda book: book.cells.pop(5), "cell 4 sets an exercise, but no solution"),
        (lambda book: book.cells[5].metadata.pop("tags"), "cell 4 sets an exercise, but no"),
        (lambda book: book.cells[5].metadata.pop("tags"), "cell 6 holds an answer: tag it"),
        (lambda book: book.cells.append(code("check.total(my_total)")), "cell 13 holds an answer"),
        (lambda book: book.cells.append(code("def my_f():\n    return 1")), "cell 13 holds an"),
        (lambda book: book.cells.append(code("swap(mlp=MyMLP)")), "cell 13 holds an answer"),
        (lambda book: book.cells[5].metadata["tags"].append("exercise"), "is tagged exercise"),
        (lambda book: book.cells[5].metadata.pop("jupyter"), "not in the course's form"),
    ],
)
def test_an_exercise_out_of_form_is_found(tmp_path, change, words):
    assert words in complaints_about(*planted(), tmp_path=tmp_path, change=change)


def test_a_cell_may_end_with_swap(tmp_path):
    source = (
        "class MyNorm:\n    def forward(self, x):\n        return x\n\n\nswap(layer_norm=MyNorm)"
    )
    cells = [*planted(), new_markdown_cell("Bring your own."), code(source, ["solution"])]
    assert complaints_about(*cells, tmp_path=tmp_path) == ""
    cells[-1] = code(source.replace("class MyNorm", "class Norm"), ["solution"])
    assert "defines no MyNorm" in complaints_about(*cells, tmp_path=tmp_path)


# Notebooks and the catalogue of exercises

SECTIONS = [(path.stem, s) for path in COMMITTED for s in sections(read_notebook(path))]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_an_exercise_stands_in_its_notebook_once_with_its_stars_and_minutes(exercise):
    found = [(notebook, s) for notebook, s in SECTIONS if s.exercise == exercise.name]
    assert [notebook for notebook, _ in found] == [exercise.notebook]
    assert found[0][1].heading[2:] == (exercise.rating, exercise.minutes)


def unlike(named, catalogue):
    """Return what the names that notebooks call and those of the catalogue do not share."""
    found = [f"{name}: not in the catalogue" for name in named if name not in catalogue]
    found += [f"{name}: no notebook calls its check" for name in catalogue if name not in named]
    order = [name for name in catalogue if name in named]
    return found or ([] if named == order else [f"the catalogue's order is {', '.join(named)}"])


def test_the_catalogue_has_the_notebooks_order_and_every_check_that_they_call():
    fail_with(unlike([s.exercise for _, s in SECTIONS if s.exercise], list(EXERCISES)))


def test_every_exercise_that_has_no_place_is_named():
    assert unlike(["a", "b"], ["a", "b"]) == []
    assert unlike(["a", "c", "d"], ["b", "a"]) == [
        *(f"{name}: not in the catalogue" for name in "cd"),
        "b: no notebook calls its check",
    ]
    assert unlike(["a", "b"], ["b", "a"]) == ["the catalogue's order is a, b"]
