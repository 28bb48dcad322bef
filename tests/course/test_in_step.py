"""Notebooks quote the package: a definition loses its docstrings alone; refresh rewrites all."""

import ast

import nbformat
import pytest
from course_notebooks import code, everything, notebook, write

from gptcourse import paths
from gptcourse.cli import publish
from gptcourse.errors import CourseError
from gptcourse.notebooks.in_step import LINKS, definition, refresh, refresh_notebook
from gptcourse.setup import HOME, Address, setup_cell

SOURCE = '''"""The file's own docstring."""

import functools

# Taken from the paper, section 2.
LIMIT: int = 3  # why three

PAIR = (
    1,  # one
    2,
)


# Why this is a class.
@functools.total_ordering
class Count:
    """What it is.

    More about it.
    """

    start: int = 0

    def up(self, by: int = 1) -> int:
        """Go up."""
        # a reason
        return self.start + by  # (B, T)

    def __lt__(self, other: "Count") -> bool:
        return self.start < other.start


class Empty(Exception):
    """Only a docstring."""


def outer(x):
    r"""A raw docstring \\d."""

    def inner():
        """Nested."""

    text = """not a docstring"""
    return inner, text
'''
QUOTED = {
    "Count": """# Why this is a class.
@functools.total_ordering
class Count:
    start: int = 0

    def up(self, by: int = 1) -> int:
        # a reason
        return self.start + by  # (B, T)

    def __lt__(self, other: "Count") -> bool:
        return self.start < other.start""",
    "Empty": "class Empty(Exception):\n    pass",
    "outer": '''def outer(x):
    def inner():
        pass

    text = """not a docstring"""
    return inner, text''',
    "LIMIT": "# Taken from the paper, section 2.\nLIMIT: int = 3  # why three",
    "PAIR": "PAIR = (\n    1,  # one\n    2,\n)",
}


@pytest.mark.parametrize("name", QUOTED)
def test_a_definition_keeps_all_but_its_docstrings(name):
    assert definition(SOURCE, name) == QUOTED[name]


@pytest.mark.parametrize(
    "path", sorted((paths.REPOSITORY / "gptlib").rglob("*.py")), ids=lambda path: path.stem
)
def test_every_definition_of_the_package_can_be_quoted(path):
    source = path.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            quoted = ast.parse(definition(source, node.name)).body[0]
            assert ast.dump(without_docstrings(quoted)) == ast.dump(without_docstrings(node))


def without_docstrings(tree):
    """Return the tree with docstrings replaced as a quote replaces them, an independent way."""
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


PART = 'def double(x: int) -> int:\n    """Twice."""\n    return 2 * x  # exact\n'
CELL = "# part.py\ndef double(x: int) -> int:\n    return 2 * x  # exact"


@pytest.fixture
def refreshed(tmp_path):
    """Refresh a notebook of one in-step cell from a file; return the cell and the difference."""

    def run(cell, part=PART):
        (tmp_path / "part.py").write_text(part)
        book = notebook(code(cell, ["in-step"], output="kept"))
        difference = refresh_notebook(book, "01_title", tmp_path)
        assert refresh_notebook(book, "01_title", tmp_path) == ""
        return book.cells[2], difference

    return run


def test_an_in_step_cell_is_written_from_the_package_and_its_output_stays(refreshed):
    cell, difference = refreshed("# part.py\ndef double(): pass")
    assert cell.source == CELL and cell.outputs[0].text == "kept"
    assert "+def double(x: int) -> int:" in difference and "01_title.ipynb, cell 3" in difference


def test_a_changed_definition_comment_or_hint_is_a_difference_and_a_docstring_is_none(refreshed):
    for old, new in (("2 * x", "x + x"), ("# exact", "# exactly"), ("x: int", "x: float")):
        lines = refreshed(CELL, PART.replace(old, new))[1].splitlines()
        assert any(line.startswith("-") and old in line for line in lines)
        assert any(line.startswith("+") and new in line for line in lines)
    assert refreshed(CELL, PART.replace("Twice.", "Two times."))[1] == ""


def test_the_order_in_the_cell_is_the_order_of_the_quotation(refreshed):
    part = "A = 1\n\n\ndef double(): pass\n\n\nB: int = 2\n"
    cell, _ = refreshed("# part.py\nB = A = 0\nclass double: pass", part)
    assert cell.source == "# part.py\nB: int = 2\n\n\nA = 1\n\n\ndef double(): pass"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def double(): pass", "cell 3 is tagged in-step but begins with 'def double"),
        ("# double", "cell 3 is tagged in-step but begins with '# double': name the file"),
        ("# part.py", "cell 3 is tagged in-step but defines nothing: write def name"),
        ("# part.py\ndef double(:", "cell 3 is tagged in-step but defines nothing"),
        ("# x.py\ndef double(): pass", r"no file x\.py to quote double from"),
        ("# part.py\ndef triple(): pass", r"part\.py defines no triple: it defines double"),
    ],
)
def test_an_in_step_cell_that_does_not_say_what_it_quotes_is_a_named_error(
    refreshed, source, words
):
    with pytest.raises(CourseError, match=words):
        refreshed(source)


def test_check_writes_nothing_and_refresh_does(tmp_path):
    path = write(tmp_path / "81_title.ipynb", code("pass"))
    book = nbformat.read(path, 4)
    book.cells[1].source = "old"
    nbformat.write(book, path)
    before = path.read_bytes()
    assert "-old" in refresh([], check=True, folder=tmp_path) and path.read_bytes() == before
    assert "-old" in refresh([], folder=tmp_path)
    assert nbformat.read(path, 4).cells[1].source == setup_cell()
    assert refresh([], check=True, folder=tmp_path) == ""


# The course's address

SOMEONE = Address("https://github.com/someone/gpt-course", "v1.0")


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


def test_without_an_address_a_notebook_has_no_links():
    book = notebook()
    refresh_notebook(book, "01_title", address=Address("https://github.com/OWNER/gptlib", "main"))
    assert LINKS not in book.cells[0].source


def test_publish_stamps_the_one_place_cells_links_and_readme(checkout, capsys):
    publish(f"{SOMEONE.repository}.git", SOMEONE.tag, checkout)
    assert capsys.readouterr().out == "changed: gptcourse/setup.py, README.md, notebooks\n"
    assert (checkout / "gptcourse/setup.py").read_text() == (
        '# above\nHOME = Address("https://github.com/someone/gpt-course", "v1.0")\n# below\n'
    )
    where = f"{SOMEONE.repository}/blob/v1.0/notebooks"
    assert (checkout / "README.md").read_text() == (
        f"git clone {SOMEONE.repository}\n{where}/x.ipynb\n"
    )
    title, cell = nbformat.read(checkout / "notebooks" / "81_title.ipynb", 4).cells[:2]
    assert 'REPOSITORY, TAG = "https://github.com/someone/gpt-course", "v1.0"' in cell.source
    colab = "https://colab.research.google.com/github/someone/gpt-course/blob/v1.0/notebooks"
    assert f"({colab}/81_title.ipynb)" in title.source
    assert f"(https://www.kaggle.com/kernels/welcome?src={where}/81_title.ipynb)" in title.source


def test_publishing_again_replaces_the_links(checkout):
    publish(*SOMEONE, checkout)
    publish("https://github.com/other/gpt", "v2", checkout, SOMEONE)
    title = nbformat.read(checkout / "notebooks" / "81_title.ipynb", 4).cells[0].source
    assert title.count("Open in") == 1 and "someone" not in title and "other/gpt/blob/v2" in title
    assert "someone" not in (checkout / "README.md").read_text()


@pytest.mark.parametrize(
    ("address", "tag"),
    [("gptlib", "v1"), ("https://gitlab.com/a/b", "v1"), ("https://github.com/a/b", "v 1")],
)
def test_an_address_that_cannot_work_changes_nothing(checkout, address, tag):
    before = everything(checkout)
    with pytest.raises(CourseError):
        publish(address, tag, checkout)
    assert everything(checkout) == before
