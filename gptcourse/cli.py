"""``python -m gptcourse``: run, open and maintain the notebooks.

Each command imports what it runs when it runs it, so that the help answers at once. What it
returns is the exit code; True is a failure, None is none.
"""

import inspect
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gptlib.cli
import gptlib.environment
from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.setup import HOME, Address
from gptlib.files import atomic_write
from gptlib.options import Parser


def run(notebooks: list[str], real: bool) -> bool:
    """Run the notebooks in order; pages of the result go to runs/course/index.html."""
    from gptcourse.notebooks.run import run_course

    return any(result.problem for result in run_course(notebooks, real))


def open_(folder: Path | None, further: list[str]) -> int:
    """Open the notebooks in JupyterLab. Ctrl-C here closes it.

    Further options are JupyterLab's own, such as --no-browser, or --allow-root in a container.
    """
    from gptcourse.notebooks.cells import trust_notebooks

    chosen = (folder or paths.NOTEBOOKS).resolve()
    if not chosen.is_dir():
        raise CourseError(
            f"there is no folder {chosen}: python -m gptcourse edition learner writes one"
        )
    # From the root, so that notebooks may show the pictures in assets/ beside their folder.
    course = paths.NOTEBOOKS.parent.resolve()
    root = course if chosen.is_relative_to(course) else chosen
    first = min(chosen.glob("[0-9][0-9]_*.ipynb"), default=chosen)
    if chosen == paths.NOTEBOOKS.resolve():
        trust_notebooks()
    command = [
        *(sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"),
        f"--LabApp.default_url=/lab/tree/{quote(first.relative_to(root).as_posix())}",
        *("--ServerApp.answer_yes=True", *further),
    ]
    # An edition may lie anywhere: its kernels find both packages by this.
    variables = gptlib.environment.variables(PYTHONPATH=str(paths.REPOSITORY))
    if os.name == "nt":
        return subprocess.run(command, env=variables).returncode
    os.execve(sys.executable, command, variables)  # so that Ctrl-C and kill reach JupyterLab


def edition(kind: str, out: Path, notebooks: list[str]) -> None:
    """Write the notebooks as learners get them: stubs for solutions, and no outputs."""
    from gptcourse.exercises.checks import EXERCISES
    from gptcourse.notebooks.edition import write_edition

    givens = {name: each.given for name, each in EXERCISES.items() if each.given}
    print(*write_edition(notebooks, out, givens), sep="\n")


def grade(
    folder: Path, notebooks: list[str], out: Path | None, seconds: float, memory: float
) -> None:
    """Grade notebooks that were handed in, by our own checks (for instructors).

    Each submission's cells run in a process of their own, held to a time and, on Linux, an amount
    of memory, so that an accident in one harms no other. That is no security sandbox: what
    learners wrote runs with your rights. Grade strangers' work on a machine that you can throw
    away.
    """
    from gptcourse.grading.grade import Limits, grade

    if not (1 <= seconds <= 1e6 and 1 <= memory <= 1e6):
        raise CourseError("--seconds and --memory are 1 or more: PyTorch alone takes half a GB")
    grade(folder, notebooks, out, Limits(seconds, int(memory * 1e9)))


def compare(run: Path, name: str, out: Path | None) -> None:
    """Say whether a run's curves are normal, and draw them over a recording's band."""
    from gptcourse.reference_runs import compare_with

    print(*compare_with(run, name, out), sep="\n")


def record(source: str, name: str, replace: bool) -> None:
    """Repeat a run with three seeds and keep its curves as a recording in assets/recordings."""
    from gptcourse.reference_runs.record import record_run

    print(record_run(source, name, replace))


def refresh(notebooks: list[str], check: bool, execute: bool) -> bool:
    """Rewrite the cells that notebooks quote from the package (for maintainers)."""
    from gptcourse.notebooks.cells import find_notebooks
    from gptcourse.notebooks.in_step import refresh

    if check and execute:
        raise CourseError("--check writes nothing and --execute writes outputs: choose one")
    differences = refresh(notebooks, check)
    print(differences or "every notebook is in step with the package", flush=True)
    for path in find_notebooks(notebooks) if execute else []:
        from gptcourse.notebooks.run import store_outputs

        started = time.monotonic()
        try:
            store_outputs(path)
        except CourseError as problem:
            raise CourseError(f"{path.stem}, {problem}") from None
        print(f"{path.stem}: {time.monotonic() - started:.1f} s", flush=True)
    return check and bool(differences)


def prove(notebooks: list[str]) -> bool:
    """Prove the checks: each has to reject the known mistakes and to accept right answers."""
    from gptcourse.exercises.checks import EXERCISES
    from gptcourse.exercises.prove import prove
    from gptcourse.notebooks.cells import find_notebooks

    names = [path.stem for path in find_notebooks(notebooks)]
    chosen = [exercise for exercise in EXERCISES.values() if exercise.notebook in names]
    if not chosen:
        raise CourseError(f"no exercises to prove in {', '.join(names)}")
    return not prove(chosen)


def publish(repository: str, tag: str, root: Path = paths.REPOSITORY, old: Address = HOME) -> None:
    """Stamp the course's address into set-up cells, links and README (for maintainers).

    Making the commit and the tag, and pushing them, stay your own steps.
    """
    from gptcourse.notebooks.in_step import refresh

    found = re.fullmatch(r"(https://github\.com/[\w.-]+/[\w.-]+?)(\.git)?/?", repository)
    if not found:
        raise CourseError(
            f"{repository} is no address like https://github.com/owner/name: "
            "Colab and Kaggle open notebooks from GitHub"
        )
    if not re.fullmatch(r"[\w.][\w./-]*", tag):
        raise CourseError(f"{tag!r} cannot name a tag: use letters, digits, dots and dashes")
    new = Address(found[1], tag)
    links = rf"{re.escape(old.slug)}/(blob|tree)/{re.escape(old.tag)}"  # the tag is part of them
    changed = []
    for name, pattern, stamp in (
        ("gptcourse/setup.py", r"(?m)^HOME = .*$", f'HOME = Address("{new.repository}", "{tag}")'),
        ("README.md", links, rf"{new.slug}/\1/{tag}"),
        ("README.md", re.escape(old.slug), new.slug),
    ):
        text = (root / name).read_text(encoding="utf-8")
        stamped = re.sub(pattern, stamp, text)
        if stamped != text:
            changed += [name] if name not in changed else []
            with atomic_write(root / name, "w") as file:
                file.write(stamped)
    if refresh([], folder=root / "notebooks", address=new):
        changed.append("notebooks")
    print("changed:", ", ".join(changed) or "nothing")


def command_line() -> Parser:
    """Every command with its options, named as its function's arguments are."""
    parser = Parser(prog="python -m gptcourse", description="The course: run, open, maintain.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(function: Callable[..., Any]) -> Callable[..., Any]:
        words = inspect.getdoc(function) or ""
        name, first = function.__name__.strip("_"), words.split("\n")[0]
        one = commands.add_parser(name, help=first, description=words)
        one.set_defaults(do=function)
        return one.add_argument

    some: dict[str, Any] = {"nargs": "*", "metavar": "NOTEBOOK"}
    some["help"] = "numbers such as 02 05; left out: all of them"
    add = command(run)
    add("notebooks", **some)
    real = "use the real texts (downloaded once), and a GPU if there is one; left out: the texts "
    add("--real", action="store_true", help=real + "of the course, small models, the CPU")
    add = command(open_)
    own = "such as my-course, an edition; left out: the course's own notebooks"
    add("folder", nargs="?", type=Path, metavar="FOLDER", help=own)
    add = command(edition)
    add("kind", choices=["learner"], help="stubs in place of solutions")
    add("out", type=Path, metavar="OUT", help="a folder: new, empty, or an edition already")
    add("notebooks", **some)
    add = command(grade)
    class_ = "one sub-folder for each learner, such as FOLDER/ada/02_attention.ipynb"
    add("folder", type=Path, metavar="FOLDER", help=class_)
    add("notebooks", **some)
    add("--out", type=Path, help="for grades.csv and grades.html; left out: FOLDER-grades")
    add("--seconds", type=float, default=60, metavar="N", help="one exercise may take; else 60")
    add("--memory", type=float, default=4, metavar="GB", help="a process may take; else 4")
    add = command(compare)
    add("run", type=Path, metavar="RUN", help="the folder of a run")
    add("name", metavar="NAME", help="a recording, by name or file")
    add("--out", type=Path, metavar="FILE", help="left out: figures/over-NAME.png in RUN")
    add = command(record)
    add("source", metavar="SOURCE", help="the folder of a run, or a recording's name")
    add("name", metavar="NAME", help="of the recording to write")
    add("--replace", action="store_true", help="overwrite a recording of that name")
    add = command(refresh)
    add("notebooks", **some)
    add("--check", action="store_true", help="write nothing: show what differs, fail if it does")
    add("--execute", action="store_true", help="then run the notebooks and store their outputs")
    command(prove)("notebooks", **some)
    add = command(publish)
    add("--repository", required=True, metavar="URL", help="https://github.com/owner/gptlib")
    add("--tag", required=True, help="the tag, or branch, that notebooks will fetch")
    return parser


def run_command() -> None:
    """Read the command line and run the command; its own exit code is the process's."""
    parser = command_line()
    given, further = parser.parse_known_args(sys.argv[1:] or ["--help"])
    options = vars(given)
    do = options.pop("do")
    if do is open_:
        options["further"] = further
    elif further:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    sys.exit(do(**options))


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 2."""
    gptlib.cli.main(run_command)
