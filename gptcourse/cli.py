"""``python -m gptcourse``: run, open and maintain the notebooks.

Each command imports what it runs when it runs it, as all of the command line does.
"""

import re
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

import gptlib.cli
import gptlib.paths
from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.setup import HOME, Address
from gptlib.files import atomic_write

app = typer.Typer(
    help="The course: run, open and maintain the notebooks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts faster, and reads the same in every terminal
    pretty_exceptions_enable=False,
)

Notebooks = Annotated[
    list[str] | None,
    typer.Argument(metavar="NOTEBOOK", help="Numbers such as 02 05. Left out: all of them."),
]


class Kind(StrEnum):
    """The editions that can be made of the committed notebooks."""

    learner = "learner"


@app.command()
def run(
    notebooks: Notebooks = None,
    real: Annotated[
        bool,
        typer.Option(
            "--real",
            help="Use the real texts (downloaded once), and a GPU if there is one. "
            "Without it: the texts that come with the course, small models, the CPU.",
        ),
    ] = False,
) -> None:
    """Run the notebooks in order; pages of the result go to runs/course/index.html."""
    from gptcourse.notebooks.run import run_course

    results = run_course(notebooks or [], real=real)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command("open", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def open_(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(help="Such as my-course, an edition. Left out: the course's own notebooks."),
    ] = None,
) -> None:
    """Open the notebooks in JupyterLab. Ctrl-C here closes it.

    Further options are JupyterLab's own, such as --no-browser, or --allow-root in a container.
    """
    import os
    import subprocess

    from gptcourse.notebooks.cells import trust_notebooks

    if folder and str(folder).startswith("-"):  # an option of JupyterLab's, and no folder
        context.args.insert(0, str(folder))
        folder = None
    chosen = (folder or paths.NOTEBOOKS).resolve()
    if not chosen.is_dir():
        raise CourseError(
            f"there is no folder {folder}: python -m gptcourse edition learner writes one"
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
        *("--ServerApp.answer_yes=True", *context.args),
    ]
    # An edition may lie anywhere: its kernels find both packages by this.
    variables = gptlib.paths.variables(PYTHONPATH=str(paths.REPOSITORY))
    if os.name == "nt":
        raise typer.Exit(subprocess.run(command, env=variables).returncode)
    os.execve(sys.executable, command, variables)  # so that Ctrl-C and kill reach JupyterLab


@app.command()
def refresh(
    notebooks: Notebooks = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: show what differs, and fail if it does.")
    ] = False,
    execute: Annotated[
        bool, typer.Option("--execute", help="Then run the notebooks and store their outputs.")
    ] = False,
) -> None:
    """Rewrite the cells that notebooks quote from the package (for maintainers)."""
    from gptcourse.notebooks.in_step import refresh

    if check and execute:
        raise CourseError("--check writes nothing and --execute writes outputs: choose one")
    differences = refresh(notebooks or [], check=check)
    print(differences or "every notebook is in step with the package", flush=True)
    if check and differences:
        raise typer.Exit(1)
    if execute:
        from gptcourse.notebooks.cells import find_notebooks
        from gptcourse.notebooks.run import store_outputs

        for path in find_notebooks(notebooks or []):
            started = time.monotonic()
            try:
                store_outputs(path)
                print(f"{path.stem}: {time.monotonic() - started:.1f} s", flush=True)
            except CourseError as problem:
                raise CourseError(f"{path.stem}, {problem}") from None


@app.command()
def edition(
    kind: Annotated[Kind, typer.Argument(help="learner: stubs in place of solutions.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder: new, empty, or an edition already.")
    ],
    notebooks: Notebooks = None,
) -> None:
    """Write the notebooks as learners get them: stubs for solutions, and no outputs."""
    from gptcourse.exercises.catalogue import EXERCISES
    from gptcourse.notebooks.edition import write_edition

    givens = {name: each.given for name, each in EXERCISES.items() if each.given}
    for path in write_edition(notebooks or [], out, givens):
        print(path)


@app.command()
def grade(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="One sub-folder for each learner; the notebooks in it keep their names, "
            "such as FOLDER/ada/02_attention.ipynb.",
        ),
    ],
    notebooks: Notebooks = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="For grades.csv and grades.html. Left out: FOLDER-grades."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="What one exercise may take.")] = 60,
    memory: Annotated[
        str, typer.Option(help="What its process may take, such as 4GB or 1500MB.")
    ] = "4GB",
) -> None:
    """Grade notebooks that were handed in, by our own checks (for instructors).

    Each submission's cells run in a process of their own, held to a time and an amount of memory,
    so that an accident in one harms no other. That is no security sandbox: what learners wrote
    runs with your rights. Grade strangers' work on a machine that you can throw away.
    """
    from gptcourse.grading.grade import grade
    from gptcourse.grading.process import Limits, bytes_of

    grade(folder, notebooks or [], out, Limits(seconds, bytes_of(memory)))


@app.command()
def prove(notebooks: Notebooks = None) -> None:
    """Prove the checks: each has to reject the known mistakes and to accept right answers."""
    from gptcourse.exercises.catalogue import EXERCISES
    from gptcourse.exercises.prove import prove
    from gptcourse.notebooks.cells import find_notebooks

    names = [path.stem for path in find_notebooks(notebooks or [])]
    chosen = [exercise for exercise in EXERCISES.values() if exercise.notebook in names]
    if not chosen:
        raise CourseError(f"no exercises to prove in {', '.join(names)}")
    if not prove(chosen):
        raise typer.Exit(1)


@app.command()
def publish(
    repository: Annotated[
        str, typer.Option(metavar="URL", help="Such as https://github.com/owner/gptlib.")
    ],
    tag: Annotated[str, typer.Option(help="The tag, or branch, that notebooks will fetch.")],
) -> None:
    """Stamp the course's address into set-up cells, links and README (for maintainers)."""
    print("changed:", ", ".join(stamp_address(repository, tag)) or "nothing")


@app.command()
def compare(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recording, by name or file.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The figure. Left out: figures/over-NAME.png in RUN."),
    ] = None,
) -> None:
    """Say whether a run's curves are normal, and draw them over a recording's band."""
    from gptcourse.reference_runs.compare import compare_with

    told, path = compare_with(run, name, out)
    print(told)
    print(path)


@app.command()
def record(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The folder of a run, or a recording's name.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the recording to write.")],
    corpus: Annotated[
        str | None, typer.Option(help="Another text. Left out: the source's own.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="gpt2, characters or a folder. Left out: the source's own.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a recording of that name.")
    ] = False,
) -> None:
    """Repeat a run with three seeds and keep its curves as a recording in assets/recordings."""
    from gptcourse.reference_runs.record import record_run

    print(record_run(source, name, corpus, tokenizer, replace))


def stamp_address(
    repository: str, tag: str, root: Path = paths.REPOSITORY, old: Address = HOME
) -> list[str]:
    """Write ``repository`` and ``tag`` wherever the course names them; return the files changed.

    Making the commit and the tag, and pushing them, stay the maintainer's own steps.
    Raises CourseError when the address is not one that Colab and Kaggle can open.
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
    home = f'HOME = Address("{new.repository}", "{new.tag}")'
    setup, readme = "gptcourse/setup.py", "README.md"
    texts = {name: (root / name).read_text(encoding="utf-8") for name in (setup, readme)}
    stamped = {setup: re.sub(r"(?m)^HOME = .*$", lambda _: home, texts[setup])}
    links = rf"{re.escape(old.slug)}/(blob|tree)/{re.escape(old.tag)}"  # the tag is part of them
    text = re.sub(links, lambda link: f"{new.slug}/{link[1]}/{new.tag}", texts[readme])
    stamped[readme] = text.replace(old.slug, new.slug)
    changed = [name for name, text in stamped.items() if text != texts[name]]
    for name in changed:
        with atomic_write(root / name) as file:
            file.write(stamped[name].encode("utf-8"))
    if refresh([], folder=root / "notebooks", address=new):
        changed.append("notebooks")
    return changed


def main() -> None:
    """Run the command line, with errors as :mod:`gptlib` shows them."""
    gptlib.cli.main(lambda: app(prog_name="python -m gptcourse"))
