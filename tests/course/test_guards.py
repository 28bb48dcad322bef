"""What every committed notebook holds to, and a planted fault for each guard."""

import re
from collections import Counter

import nbconvert
import nbformat
import pytest
from bs4 import BeautifulSoup
from course_notebooks import code, notebook, planted, write
from nbformat.v4 import new_markdown_cell, new_output

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.exercises.checks import EXERCISES
from gptcourse.notebooks import guards
from gptcourse.notebooks.cells import code_cells, has_tag, read_notebook
from gptcourse.notebooks.guards import sections
from gptcourse.notebooks.in_step import quoted, refresh
from gptcourse.notebooks.run import write_pages

COMMITTED = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
QUOTES = {  # the file and the names of each cell that quotes the package
    path: [quoted(cell, path.stem) for cell in book.cells if has_tag(cell, "in-step")]
    for path, book in zip(COMMITTED, map(read_notebook, COMMITTED), strict=True)
}
each_notebook = pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)


def fail_with(found):
    """Fail with every line that was found; a comparison of lists would show the first alone."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@each_notebook
def test_every_committed_notebook_satisfies_every_guard(path):
    fail_with(guards.complaints(path))


@each_notebook
def test_every_notebook_quotes_the_package(path):
    assert len(QUOTES[path]) >= 2 and all(file.startswith("gptlib/") for file, _ in QUOTES[path])


@each_notebook
def test_a_notebook_imports_from_few_modules_of_the_package_in_one_cell(path):
    cells = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    found = [set(re.findall(r"(?m)^from (gptlib[\w.]*) import", cell.source)) for cell in cells]
    (modules,) = filter(None, found)
    assert len(modules) <= 8


@each_notebook
def test_a_committed_notebook_converts_to_a_python_file(path):
    source, resources = nbconvert.ScriptExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    compile(source, "converted", "exec")


@each_notebook
def test_every_picture_of_a_page_has_a_text_alternative(path, tmp_path):
    book = read_notebook(path)
    pictures = sum("image/" in str(output) for cell in code_cells(book) for output in cell.outputs)
    for cell in code_cells(book):
        cell.source = ""  # highlighting code would take most of the time
    write_pages(book, path.stem, tmp_path)
    page = BeautifulSoup((tmp_path / f"{path.stem}.html").read_text("utf-8"), "html.parser")
    said = [picture.get("alt", "") for picture in page.select("img")]
    assert len(said) >= max(4, pictures) and all(len(words.split()) >= 10 for words in said)
    assert not [words for words in said if "No description" in words or "<Figure" in words]


def test_each_definition_is_quoted_in_one_place_of_the_course():
    quotes = [quote for path in COMMITTED for quote in QUOTES[path]]
    counts = Counter(f"{file}: {name}" for file, names in quotes for name in names)
    fail_with([entry for entry, count in counts.items() if count > 1])


@pytest.fixture
def complaints(tmp_path):
    """Return the complaints about a notebook of some cells, with one planted fault."""

    def about(cells, change=lambda book: None):
        book = notebook(*cells)
        change(book)
        nbformat.write(book, tmp_path / "81_title.ipynb")
        return "\n".join(guards.complaints(tmp_path / "81_title.ipynb"))

    return about


def timed(source="# reason: a time differs\nprint(1)"):
    return code(source, ["nbval-ignore-output"], output="1")


IMPORT = "from os import (\n" + "    abc,\n" * 30 + ")\n"  # is not counted
CLASS = "class A:\n" + "    x = 1\n" * 39
SWAP = "class MyNorm:\n    def forward(self, x):\n        return x\n\n\nswap(layer_norm=MyNorm)"


@pytest.mark.parametrize(
    "cells",
    [
        [code("print(1)", output="1\n"), timed(), code("assert 1 < 2")],
        [code(CLASS)],
        [code(IMPORT + "import re\n" + "x = 1\n" * 25)],
        planted(),
        [*planted(), new_markdown_cell("Bring your own."), code(SWAP, ["solution"])],
    ],
)
def test_a_notebook_without_fault_has_no_complaint(complaints, cells):
    assert complaints(cells) == ""


def error():
    cell = code("1 / 0")
    cell.outputs = [new_output("error", ename="ZeroDivisionError", evalue="by 0", traceback=[])]
    return cell


def count(*numbers):
    def change(book):
        for cell, number in zip(book.cells[2:], numbers, strict=True):
            cell.execution_count = number

    return change


def in_source(old, new):
    def change(book):
        found = [cell for cell in book.cells if old in cell.source]
        assert found
        for cell in found:
            cell.source = cell.source.replace(old, new)

    return change


def figure():
    cell = code("draw()")
    cell.outputs = [new_output("display_data", {"image/png": "aGk=", "text/plain": "<Figure>"})]
    return cell


ANY = [code("1")]
SECOND = [code("1"), code("2")]


@pytest.mark.parametrize(
    ("cells", "change", "words"),
    [
        (ANY, count(None), "code cell 2 has execution count None"),
        (SECOND, count(3, 2), "code cell 2 has execution count 3"),
        ([code(" ")], None, "code cell 2 is empty"),
        ([error()], None, "stores an error: ZeroDivisionError"),
        ([code("1", output="saved in /home/ada/runs\n")], None, "a folder of one machine"),
        (ANY, in_source("Set-up, the same", "changed"), "set-up cell differs from gptcourse/setup"),
        (ANY, in_source("profile = setup()", "changed"), "run python -m gptcourse refresh"),
        (ANY, lambda book: book.cells[1].metadata.clear(), "0 cells are tagged setup"),
        ([code("1", ["setup"])], None, "2 cells are tagged setup"),
        ([code("# gptlib/model.py", ["in-step"])], None, "cell 3 is tagged in-step but defines no"),
        (
            [timed(f"# why\nassert {n} < 9") for n in range(5)],
            None,
            "5 cells are tagged nbval-ignore-output, 4 allowed",
        ),
        ([timed("print(1)")], None, "say why in a comment"),
        ([timed(), code("2"), code("assert True")], None, "assert a bound"),
        ([code("1", ["nbval-skip"])], None, "is tagged nbval-skip"),
        ([code("1", ["raises-exception"])], None, "is tagged raises-exception"),
        ([code("1", ["nbval-raises-exception"])], None, "is tagged nbval-raises-exception"),
        ([code("# NBVAL_SKIP\n1")], None, "steers nbval"),
        ([code("x = 1\n" * 26)], None, "has 26 lines, 25 allowed"),
        ([code(IMPORT + "x = 1\n" * 26)], None, "has 26 lines, 25 allowed"),
        ([code(CLASS + "    y = 1")], None, "41 lines, 40 allowed"),
        ([figure(), new_markdown_cell("Words.")], None, "cell 3 draws a figure: begin"),
        ([figure(), new_markdown_cell("**Bold** words.")], None, "cell 3 draws a figure: begin"),
        ([figure(), new_markdown_cell("*Words* and none")], None, "cell 3 draws a figure: begin"),
        ([new_markdown_cell("word " * 131)], None, "131 words, 130 allowed"),
        (ANY, lambda book: book.metadata.update(widgets={}), "widget state"),
        (ANY, lambda book: book.cells[2].metadata.update(execution={}), "not in the course's form"),
        (ANY, lambda book: book.cells[0].update(attachments={"a.png": {}}), "an attachment"),
        ([code("1", output="x" * 500_001)], None, "500,000 allowed"),
    ],
)
def test_a_planted_fault_is_found(complaints, cells, change, words):
    assert words in complaints(cells, change or (lambda book: None))


def test_a_figures_caption_is_its_text_alternative_as_nbconvert_reads_it():
    below = "*Read `x` of*\nThe Verdict *in the middle (a. b).* More *words.*"
    book = notebook(figure(), new_markdown_cell(below))
    metadata = book.cells[2].outputs[0].metadata
    assert metadata == {"image/png": {"alt": "Read x of The Verdict in the middle (a. b)."}}


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


def test_what_jupyter_writes_by_itself_is_no_fault_and_refresh_takes_it_out(complaints, tmp_path):
    def opened(book):
        book.metadata.update(nbformat.from_dict(JUPYTERS))

    assert complaints(ANY, opened) == ""
    assert "81_title.ipynb: not in the course's form" in refresh([], folder=tmp_path)
    found = read_notebook(tmp_path / "81_title.ipynb")
    assert found == notebook(*ANY) and refresh([], check=True, folder=tmp_path) == ""


def test_a_file_that_is_no_notebook_is_a_named_error(tmp_path):
    path = write(tmp_path / "81_title.ipynb")
    path.write_text(path.read_text()[:-200])
    with pytest.raises(CourseError, match=r"81_title\.ipynb cannot be read"):
        read_notebook(path)


CALL = "check.total(my_total)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_source(CALL, ""), "does not end with check.name(my_name) or swap"),
        (in_source(CALL, "check.total(1)"), CALL),
        (in_source(CALL, "check.total(my_sum)"), "defines no my_sum"),
        (in_source(CALL, "my_total([])"), "does not end with check.name"),
        (in_source(CALL, "swap(1)"), "gives nothing of the learner's"),
        (in_source(CALL, "swap(layer_norm=MyNorm)"), "defines no MyNorm"),
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
        (lambda book: book.cells.append(code(CALL)), "cell 13 holds an answer"),
        (lambda book: book.cells.append(code("def my_f():\n    return 1")), "cell 13 holds an"),
        (lambda book: book.cells.append(code("swap(mlp=MyMLP)")), "cell 13 holds an answer"),
        (lambda book: book.cells[5].metadata["tags"].append("exercise"), "is tagged exercise"),
        (lambda book: book.cells[5].metadata.pop("jupyter"), "not in the course's form"),
    ],
)
def test_an_exercise_out_of_form_is_found(complaints, change, words):
    assert words in complaints(planted(), change)


# Notebooks and the catalog of exercises

SECTIONS = [(path.stem, s) for path in COMMITTED for s in sections(read_notebook(path))]


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_an_exercise_stands_in_its_notebook_once_with_its_stars_and_minutes(exercise):
    ((name, heading),) = [(n, s.heading) for n, s in SECTIONS if s.exercise == exercise.name]
    rating, minutes = heading[2:]
    assert name == exercise.notebook and rating in (1, 2, 3) and 5 <= minutes <= 40


def unlike(named, catalog):
    """Return what the names that notebooks call and those of the catalog do not share."""
    found = [f"{name}: not in the catalog" for name in named if name not in catalog]
    found += [f"{name}: no notebook calls its check" for name in catalog if name not in named]
    order = [name for name in catalog if name in named]
    return found or ([] if named == order else [f"the catalog's order is {', '.join(named)}"])


def test_the_catalog_has_the_notebooks_order_and_every_check_that_they_call():
    fail_with(unlike([s.exercise for _, s in SECTIONS if s.exercise], list(EXERCISES)))


def test_every_exercise_that_has_no_place_is_named():
    assert unlike(["a", "b"], ["a", "b"]) == []
    assert unlike(["a", "c", "d"], ["b", "a"]) == [
        *(f"{name}: not in the catalog" for name in "cd"),
        "b: no notebook calls its check",
    ]
    assert unlike(["a", "b"], ["b", "a"]) == ["the catalog's order is a, b"]
