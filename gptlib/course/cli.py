"""``python -m gptlib course``: run, open and maintain the notebooks.

Each command imports what it runs when it runs it, as all of the command line does.
"""

import sys
from typing import Annotated

import typer

from gptlib.errors import CourseError

course = typer.Typer(
    help="Run, open and maintain the notebooks.", no_args_is_help=True, rich_markup_mode=None
)

Notebooks = Annotated[
    list[str] | None,
    typer.Argument(metavar="NOTEBOOK", help="Numbers such as 02 05. Left out: all of them."),
]


@course.command("run")
def course_run(
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
    from gptlib.course.runner import run_course

    results = run_course(notebooks or [], real=real)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@course.command("open")
def course_open() -> None:
    """Open the notebooks in JupyterLab. Ctrl-C here closes it."""
    import subprocess

    from gptlib import paths

    # From the root, so that notebooks may show the pictures in assets/ beside their folder.
    settings = [
        f"--ServerApp.root_dir={paths.NOTEBOOKS.parent}",
        f"--LabApp.default_url=/lab/tree/{paths.NOTEBOOKS.name}",
        "--ServerApp.answer_yes=True",
    ]
    done = subprocess.run([sys.executable, "-m", "jupyterlab", *settings])
    raise typer.Exit(done.returncode)


@course.command("refresh")
def course_refresh(
    notebooks: Notebooks = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing: show what differs, and fail if it does.")
    ] = False,
    execute: Annotated[
        bool, typer.Option("--execute", help="Then run the notebooks and store their outputs.")
    ] = False,
) -> None:
    """Rewrite the cells that notebooks quote from the package (for maintainers)."""
    from gptlib.course.refresh import refresh

    if check and execute:
        raise CourseError("--check writes nothing and --execute writes outputs: choose one")
    differences = refresh(notebooks or [], check=check)
    print(differences or "every notebook is in step with the package", flush=True)
    if check and differences:
        raise typer.Exit(1)
    if execute:
        from gptlib.course.notebook_files import find_notebooks
        from gptlib.course.stored import store_outputs

        for path in find_notebooks(notebooks or []):
            try:
                print(f"{path.stem}: {store_outputs(path):.1f} s", flush=True)
            except CourseError as problem:
                raise CourseError(f"{path.stem}, {problem}") from None


@course.command("publish")
def course_publish(
    repository: Annotated[
        str, typer.Option(metavar="URL", help="Such as https://github.com/owner/gptlib.")
    ],
    tag: Annotated[str, typer.Option(help="The tag, or branch, that notebooks will fetch.")],
) -> None:
    """Stamp the course's address into set-up cells, links and README (for maintainers)."""
    from gptlib.course.publish import publish

    print("changed:", ", ".join(publish(repository, tag)) or "nothing")
