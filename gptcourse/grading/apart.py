"""Judge cells that strangers wrote, in a process of its own: started and watched by the grader.

It reads one JSON object a line and answers each with one. What the cells print, or ask for, goes
nowhere. This keeps an accident in a cell from harming the grader; it is no security sandbox.
"""

import ast
import importlib
import json
import linecache
import os
import queue
import random
import threading
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

import numpy as np
import torch

from gptcourse.exercises.exercise import Exercise
from gptcourse.exercises.verdict import judge

LONGEST = 2_000  # characters of a message
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
CHANGED = "the check was changed: after this cell it no longer tells right from wrong"

# passed, done, message; unfit: whether nothing more should be judged in this process
Answer = dict[str, Any]


class Silent:
    """Stands for ``check`` and ``swap`` in the cells: they are judged afterwards, and only then."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *anything: Any, **more: Any) -> None:
        """Say nothing."""


class Judge:
    """Runs cells in one namespace and judges their functions with checks bound beforehand."""

    def __init__(self, exercises: dict[str, Exercise]) -> None:
        """Keep copies of the exercises, and how they are judged, before any cell runs."""
        self.exercises = {name: replace(each) for name, each in exercises.items()}
        self.known = {name: (each.mistakes[0], each.right) for name, each in exercises.items()}
        self.judge = judge
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def begin(self, imports: list[str], definitions: list[str]) -> Answer:
        """Run the notebook's imports and its definitions."""
        seed()
        try:
            for source in imports:
                self.run(source, "imports")
        except BaseException as problem:
            return {"problem": told(problem)}
        for source in definitions:  # one that needs more than these goes without
            with suppress(BaseException):
                self.run(source, "definition")
        return {"problem": ""}

    def mark(self, exercise: str, source: str, others: list[str]) -> Answer:
        """Run one exercise's cell and judge its function, which may build on other cells."""
        own = f"my_{exercise}"
        self.namespace.pop(own, None)
        for cell in others:
            with suppress(BaseException):
                self.define(ast.parse(cell), own)
        seed()
        trouble = ""
        try:
            self.run(source, exercise)
        except BaseException as problem:
            trouble = told(problem)
        # A cell that fails behind its function is judged all the same.
        if own not in self.namespace:
            return failed(trouble or f"the cell defines no {own}")
        seed()
        try:
            verdict = self.judge(self.exercises[exercise], self.namespace[own])
            passed, done = verdict.passed is True, verdict.done is not False
            message = str(verdict.message)
        except BaseException as problem:
            return failed(told(problem))
        if not self.sound(exercise):
            return failed(CHANGED) | {"unfit": True}
        return {
            "passed": passed,
            "done": done or passed,
            "message": message[:LONGEST],
            "unfit": False,
        }

    def sound(self, exercise: str) -> bool:
        """Whether the check still rejects a known mistake and accepts the right function."""
        seed()
        try:
            wrong, right = (
                self.judge(self.exercises[exercise], function) for function in self.known[exercise]
            )
            return wrong.passed is False and wrong.done is True and right.passed is True
        except BaseException:
            return False

    def define(self, tree: ast.Module, own: str) -> None:
        """Take functions, classes and imports from a cell; what stands already stays."""
        for node in tree.body:
            name = getattr(node, "name", "")
            if isinstance(node, DEFINES) and name != own and name not in self.namespace:
                with suppress(BaseException):
                    exec(compile(ast.Module([node], []), "<other cell>", "exec"), self.namespace)

    def run(self, source: str, name: str) -> None:
        """Run a cell, its name standing for the file in what a traceback tells."""
        self.namespace |= {"check": Silent(), "swap": Silent()}
        file = f"<cell {name}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), self.namespace)


def failed(message: str) -> Answer:
    """The answer about a cell that has no function to be judged, or none that can be."""
    return {"passed": False, "done": True, "message": message[:LONGEST], "unfit": False}


def told(problem: BaseException) -> str:
    """What a cell raised, with the line in the cell."""
    if isinstance(problem, SystemExit | KeyboardInterrupt | GeneratorExit):
        return f"the cell ends its process ({type(problem).__name__})"
    line, trace = getattr(problem, "lineno", None), problem.__traceback__
    while trace is not None and not isinstance(problem, SyntaxError):
        if trace.tb_frame.f_code.co_filename.startswith("<cell "):
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        words = " ".join(str(getattr(problem, "msg", problem)).split())
    except BaseException:
        words = "its message cannot be read"
    where = f" in line {line} of the cell" if line else ""
    if isinstance(problem, NameError):
        words += " (other cells give only functions, classes and imports)"
    return f"{type(problem).__name__}{where}: {words}"


def seed() -> None:
    """Begin the random numbers anew: a mark must not depend on what ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def take_channels() -> tuple[IO[bytes], IO[bytes]]:
    """Keep standard input and output for the grader; a cell finds nothing there."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return questions, answers


def listen(questions: IO[bytes]) -> "queue.SimpleQueue[dict[str, Any]]":
    """Take in questions as they come; when the grader is gone, end, whatever runs."""
    came: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in questions:
            came.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return came


def main(catalogue: str = "gptcourse.exercises.catalogue") -> None:
    """Answer until the grader closes the channel; ``catalogue`` is the module of EXERCISES."""
    questions, answers = take_channels()
    came = listen(questions)
    torch.set_num_threads(1)
    worker = Judge(importlib.import_module(catalogue).EXERCISES)
    begin, mark, dumps = worker.begin, worker.mark, json.dumps
    while True:
        question = came.get()
        token = question.pop("token")  # shows the grader that this answer is none of a cell's
        answer = begin(**question) if "imports" in question else mark(**question)
        answers.write(dumps({**answer, "token": token}).encode() + b"\n")
        answers.flush()
