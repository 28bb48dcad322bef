"""Known mistakes of an exercise, written as patches of the right function.

A block is the sentence that a learner reads (its "This looks like" left out) and, indented, what
stands in the right function and what the mistake has in its place::

    scores without the division by √D.
        / math.sqrt(D) =>
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]
BLOCK = re.compile(r"(?P<sentence>(?:^\S.*\n)+)(?P<changes>(?:^    .*\n)+)", re.MULTILINE)


def mistakes(right: Function, text: str, *helpers: Function) -> tuple[Function, ...]:
    """The wrong functions that `text` describes.

    Args:
        right: the function that is patched.
        text: the patches; each old text stands exactly once in the source.
        helpers: functions that `right` calls and that may be patched as well.
    """
    source = "\n".join(plain_source(function) for function in (*helpers, right))
    found = BLOCK.finditer(text.strip() + "\n")
    return tuple(mistake(right, source, block["sentence"], block["changes"]) for block in found)


def mistake(right: Function, source: str, sentence: str, changes: str) -> Function:
    """One wrong function; its docstring is the sentence."""
    spans = []
    for line in changes.splitlines():
        old, _, new = (part.strip() for part in line.partition("=>"))
        if source.count(old) != 1:
            raise ValueError(f"{right.__name__}: {old!r} must stand exactly once in the source")
        spans.append((source.index(old), old, new))
    for start, old, new in sorted(spans, reverse=True):
        source = source[:start] + new + source[start + len(old) :]
    space = dict(right.__globals__)
    exec(compile(source, f"<a mistake of {right.__name__}>", "exec"), space)
    wrong: Function = space[right.__name__]
    wrong.__doc__ = "This looks like " + " ".join(sentence.split())
    wrong.__name__ = re.sub(r"\W+", "_", sentence.strip())[:60]
    return wrong


def plain_source(function: Function) -> str:
    """A function's source without its docstring, so that patches speak of code alone."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    node = ast.parse("\n".join(lines)).body[0]
    assert isinstance(node, ast.FunctionDef)
    if ast.get_docstring(node) is not None:
        del lines[node.body[0].lineno - 1 : node.body[0].end_lineno]
    return "\n".join(lines) + "\n"
