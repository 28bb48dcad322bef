"""Refresh writes what the package says into a notebook, and its check sees every difference."""

import nbformat
import pytest
from course_notebooks import code, notebook, write

from gptcourse.cli import publish
from gptcourse.errors import CourseError
from gptcourse.notebooks.in_step import LINKS, refresh, refresh_notebook
from gptcourse.setup import HOME, Address, setup_cell

PART = 'def double(x: int) -> int:\n    """Twice."""\n    return 2 * x  # exact\n'
CELL = "# part.py\ndef double(x: int) -> int:\n    return 2 * x  # exact"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "part.py").write_text(PART)
    return tmp_path


def test_an_in_step_cell_is_written_from_the_package(root):
    book = notebook(code("# part.py\ndef double(): pass", ["in-step"]))
    difference = refresh_notebook(book, "01_title", root)
    assert book.cells[2].source == CELL
    assert "+def double(x: int) -> int:" in difference and "01_title.ipynb, cell 3" in difference
    assert refresh_notebook(book, "01_title", root) == ""


@pytest.mark.parametrize(
    ("old", "new"), [("2 * x", "x + x"), ("# exact", "# exactly"), ("x: int", "x: float")]
)
def test_a_changed_definition_comment_or_hint_is_a_difference(root, old, new):
    book = notebook(code(CELL, ["in-step"]))
    (root / "part.py").write_text(PART.replace(old, new))
    difference = refresh_notebook(book, "01_title", root)
    assert any(line.startswith("-") and old in line for line in difference.splitlines())
    assert any(line.startswith("+") and new in line for line in difference.splitlines())


def test_a_changed_docstring_is_none(root):
    book = notebook(code(CELL, ["in-step"]))
    (root / "part.py").write_text(PART.replace("Twice.", "Two times."))
    assert refresh_notebook(book, "01_title", root) == ""


def test_outputs_stay_when_a_cell_is_rewritten(root):
    book = notebook(code("# part.py\ndouble = 1", ["in-step"], output="kept"))
    refresh_notebook(book, "01_title", root)
    assert book.cells[2].outputs[0].text == "kept"


def test_the_order_in_the_cell_is_the_order_of_the_quotation(root):
    (root / "part.py").write_text("A = 1\n\n\ndef double(): pass\n\n\nB: int = 2\n")
    book = notebook(code("# part.py\nB = A = 0\nclass double: pass", ["in-step"]))
    refresh_notebook(book, "01_title", root)
    due = "# part.py\nB: int = 2\n\n\nA = 1\n\n\ndef double(): pass"
    assert book.cells[2].source == due


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def double(): pass", "cell 3 is tagged in-step but begins with 'def double"),
        ("# double", "cell 3 is tagged in-step but begins with '# double': name the file"),
        ("# part.py", "cell 3 is tagged in-step but defines nothing: write def name"),
        ("# part.py\ndef double(:", "cell 3 is tagged in-step but defines nothing"),
        ("# x.py\ndef double(): pass", "no file x.py to quote double from"),
        ("# part.py\ndef triple(): pass", "part.py defines no triple: it defines double"),
    ],
)
def test_an_in_step_cell_that_does_not_say_what_it_quotes_is_a_named_error(root, source, words):
    book = notebook(code(source, ["in-step"]))
    with pytest.raises(CourseError, match=words):
        refresh_notebook(book, "01_title", root)


def test_check_writes_nothing_and_refresh_does(tmp_path):
    path = write(tmp_path / "81_title.ipynb", code("pass"))
    book = nbformat.read(path, 4)
    book.cells[1].source = "old"
    nbformat.write(book, path)
    before = path.read_bytes()
    assert "-old" in refresh([], check=True, folder=tmp_path)
    assert path.read_bytes() == before
    assert "-old" in refresh([], folder=tmp_path)
    assert nbformat.read(path, 4).cells[1].source == setup_cell()
    assert refresh([], check=True, folder=tmp_path) == ""


def test_without_an_address_a_notebook_has_no_links():
    book = notebook()
    refresh_notebook(book, "01_title", address=Address("https://github.com/OWNER/gptlib", "main"))
    assert LINKS not in book.cells[0].source


@pytest.fixture
def checkout(tmp_path):
    """What publish touches, in a folder of its own."""
    (tmp_path / "gptcourse").mkdir()
    (tmp_path / "gptcourse" / "setup.py").write_text(
        f'# above\nHOME = Address("{HOME.repository}", "{HOME.tag}")\n# below\n'
    )
    (tmp_path / "README.md").write_text(
        f"git clone {HOME.repository}\n{HOME.repository}/blob/{HOME.tag}/notebooks/x.ipynb\n"
    )
    write(tmp_path / "notebooks" / "81_title.ipynb", code("pass"))
    return tmp_path


def test_publish_stamps_the_one_place_cells_links_and_readme(checkout, capsys):
    publish("https://github.com/someone/gpt-course.git", "v1.0", checkout)
    assert capsys.readouterr().out == "changed: gptcourse/setup.py, README.md, notebooks\n"
    home = (checkout / "gptcourse/setup.py").read_text()
    assert (
        home
        == '# above\nHOME = Address("https://github.com/someone/gpt-course", "v1.0")\n# below\n'
    )
    assert (checkout / "README.md").read_text() == (
        "git clone https://github.com/someone/gpt-course\n"
        "https://github.com/someone/gpt-course/blob/v1.0/notebooks/x.ipynb\n"
    )
    title, cell = nbformat.read(checkout / "notebooks" / "81_title.ipynb", 4).cells[:2]
    assert 'REPOSITORY, TAG = "https://github.com/someone/gpt-course", "v1.0"' in cell.source
    where = "someone/gpt-course/blob/v1.0/notebooks/81_title.ipynb"
    assert f"(https://colab.research.google.com/github/{where})" in title.source
    assert (
        f"(https://www.kaggle.com/kernels/welcome?src=https://github.com/{where})" in title.source
    )


def test_publishing_again_replaces_the_links(checkout):
    publish("https://github.com/someone/gpt-course", "v1", checkout)
    old = Address("https://github.com/someone/gpt-course", "v1")
    publish("https://github.com/other/gpt", "v2", checkout, old)
    title = nbformat.read(checkout / "notebooks" / "81_title.ipynb", 4).cells[0].source
    assert title.count("Open in") == 1 and "someone" not in title and "other/gpt/blob/v2" in title
    assert "someone" not in (checkout / "README.md").read_text()


@pytest.mark.parametrize(
    ("address", "tag"),
    [("gptlib", "v1"), ("https://gitlab.com/a/b", "v1"), ("https://github.com/a/b", "v 1")],
)
def test_an_address_that_cannot_work_changes_nothing(checkout, address, tag):
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    with pytest.raises(CourseError):
        publish(address, tag, checkout)
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before
