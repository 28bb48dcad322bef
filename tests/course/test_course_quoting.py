"""A quoted definition keeps its decorators, hints and comments, and loses its docstrings."""

import ast

import pytest

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.in_step import definition, quote

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


def test_a_class_keeps_all_but_its_docstrings():
    assert definition(SOURCE, "Count") == (
        "# Why this is a class.\n"
        "@functools.total_ordering\n"
        "class Count:\n"
        "    start: int = 0\n"
        "\n"
        "    def up(self, by: int = 1) -> int:\n"
        "        # a reason\n"
        "        return self.start + by  # (B, T)\n"
        "\n"
        '    def __lt__(self, other: "Count") -> bool:\n'
        "        return self.start < other.start"
    )


def test_an_empty_body_becomes_pass():
    assert definition(SOURCE, "Empty") == "class Empty(Exception):\n    pass"


def test_nested_docstrings_go_and_other_strings_stay():
    assert definition(SOURCE, "outer") == (
        "def outer(x):\n"
        "    def inner():\n"
        "        pass\n"
        "\n"
        '    text = """not a docstring"""\n'
        "    return inner, text"
    )


def test_constants_keep_their_comments():
    assert definition(SOURCE, "LIMIT").endswith("LIMIT: int = 3  # why three")
    assert definition(SOURCE, "LIMIT").startswith("# Taken from the paper")
    assert definition(SOURCE, "PAIR") == "PAIR = (\n    1,  # one\n    2,\n)"


def test_a_cell_names_its_file_and_parts_definitions_by_two_blank_lines(tmp_path):
    (tmp_path / "part.py").write_text(SOURCE)
    cell = quote("part.py", ["LIMIT", "Empty"], tmp_path)
    assert cell.startswith("# part.py\n# Taken from the paper")
    assert cell.endswith("LIMIT: int = 3  # why three\n\n\nclass Empty(Exception):\n    pass")


def test_an_unknown_definition_or_file_is_a_named_error(tmp_path):
    with pytest.raises(CourseError, match=r"part\.py defines no Missing: it defines Count, Empty"):
        definition(SOURCE, "Missing", "part.py")
    with pytest.raises(CourseError, match=r"no file gone\.py"):
        quote("gone.py", ["Count"], tmp_path)


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
        body = getattr(node, "body", None)
        documented = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if documented and ast.get_docstring(node) is not None:
            node.body = body[1:] or [ast.Pass()]
    return tree
