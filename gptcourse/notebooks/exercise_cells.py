"""Read the code cells of exercises: which exercise, which functions, where their bodies stand."""

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from typing import NamedTuple

STUB = 'raise NotImplementedError("not done yet")'
COMMAND = re.compile(r"[%!?]|\w+ *= *[%!]")  # %time, !pip install, x = !ls
CHECK = re.compile(r"(?m)^[ \t]*check\.(\w+)\(")  # found in a cell that does not parse, too

Function = ast.FunctionDef | ast.AsyncFunctionDef


def plain_python(source: str) -> str:
    """The source without IPython's own lines, which are not Python; the lines keep their numbers.

    A source that is Python as it stands stays as it is: there, a line may begin with %.
    """
    if parsed(source) is not None:
        return source
    return "\n".join(map(_plain_line, source.split("\n")))


def _plain_line(line: str) -> str:
    """Leave out a magic, a command of the shell, a question."""
    text = line.strip()
    if COMMAND.match(text) or (text.endswith("?") and not set("#'\"") & set(text)):
        return line[: len(line) - len(line.lstrip())] + "pass"
    return line


def parsed(source: str) -> ast.Module | None:
    """The source's tree, or None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an escape such as "\\d", in a learner's text
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def checked(source: str) -> str | None:
    """The exercise whose check a cell calls, the last one if there are several."""
    names = CHECK.findall(source)
    return names[-1] if names else None


def defines(source: str, name: str) -> bool:
    """Whether a cell defines this name at its top, even where the cell does not parse."""
    return bool(re.search(rf"(?m)^(async +def|def|class) +{name}\b|^{name}\b[^=\n]*=(?!=)", source))


class Call(NamedTuple):
    """The call with which a solution cell ends."""

    function: str  # such as "check.causal_weights", or "swap"
    learners: tuple[str, ...]  # the names my_… and My… among its arguments


def last_call(source: str) -> Call | None:
    """The call on the last line of a cell; None where something else stands there."""
    tree = parsed(plain_python(source))
    last = tree.body[-1] if tree and tree.body else None
    if not isinstance(last, ast.Expr) or not isinstance(last.value, ast.Call):
        return None
    given = [*last.value.args, *(keyword.value for keyword in last.value.keywords)]
    names = [argument.id for argument in given if isinstance(argument, ast.Name)]
    own = tuple(name for name in names if name.startswith(("my_", "My")))
    return Call(ast.unparse(last.value.func), own)


def learners_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield what a learner writes: functions my_…, and the method forward of classes My…"""
    for node in tree.body:
        if isinstance(node, Function) and node.name.startswith("my_"):
            yield node
        elif isinstance(node, ast.ClassDef) and node.name.startswith("My"):
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "forward":
                    yield inner


class Body(NamedTuple):
    """Where a function's body stands, without its docstring."""

    start: tuple[int, int]  # line, from 1, and characters before it: the signature's end
    last: int  # its last line; comments that close it are part of it
    indent: str


def body_of(node: Function, source: str) -> Body:
    """Find the body of a function by the text's own lines, comments included."""
    lines = source.split("\n")
    start = _end_of_signature(node, lines)
    indent = " " * (node.col_offset + 4)
    if ast.get_docstring(node, clean=False) is not None:
        text = node.body[0]
        line = text.end_lineno or text.lineno
        start = line, len(lines[line - 1].encode()[: text.end_col_offset].decode())
    last = node.end_lineno or node.lineno
    ahead = last  # comments behind the last statement, indented more than the function
    while ahead < len(lines) and _may_close(lines[ahead], node.col_offset):
        ahead += 1
        if lines[ahead - 1].strip():
            last = ahead
    return Body(start, last, indent)


def _may_close(line: str, column: int) -> bool:
    deep = len(line) - len(line.lstrip()) > column
    return not line.strip() or (deep and line.lstrip().startswith("#"))


def _end_of_signature(node: Function, lines: list[str]) -> tuple[int, int]:
    """Return the line of the colon that ends the signature, and the characters up to it."""
    depth = 0
    text = "\n".join(lines[node.lineno - 1 :]) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return node.lineno - 1 + token.end[0], token.end[1]
    raise AssertionError("unreachable: ast has read this signature")


def with_body(source: str, node: Function, body: str) -> str:
    """Return the source with the function's body replaced; its signature and docstring stay."""
    place, lines = body_of(node, source), source.split("\n")
    line, column = place.start
    kept = [*lines[: line - 1], lines[line - 1][:column]]
    new = [f"{place.indent}{text}" if text else "" for text in body.split("\n")]
    return "\n".join([*kept, *new, *lines[place.last :]])


def body_text(source: str) -> tuple[list[str], str]:
    """Of a source that holds one function: its parameters, and its body without indentation."""
    tree = ast.parse(source)
    node = next(node for node in tree.body if isinstance(node, Function))
    place, lines = body_of(node, source), source.split("\n")
    line, column = place.start
    text = [lines[line - 1][column:].strip(), *lines[line : place.last]]
    while text and not text[0].strip():
        del text[0]
    own = min((len(t) - len(t.lstrip()) for t in text if t.strip()), default=0)
    return parameters(node), "\n".join(t[own:] for t in text)


def parameters(node: Function) -> list[str]:
    """The names of a function's parameters, in order."""
    names = node.args
    starred = [one for one in (names.vararg, names.kwarg) if one is not None]
    every = [*names.posonlyargs, *names.args, *names.kwonlyargs, *starred]
    return [each.arg for each in every]
