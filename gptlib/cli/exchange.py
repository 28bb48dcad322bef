"""``python -m gptlib export|push``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gptlib.errors import PretrainedError


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a run, or of one checkpoint.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new one, for the model.")],
) -> None:
    """Write a run's model as a folder that transformers and the Hugging Face hub read."""
    from gptlib.commands.exchange import export_run

    print("\n".join(export_run(run, folder)))


def push(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What export has written: nothing else goes.")
    ],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="The repository on the hub.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be sent.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="A new repository is for everybody, not private.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Send an exported folder to the Hugging Face hub, after asking."""
    from gptlib.pretrained.export import find_token, push_to_hub

    print(push_to_hub(folder, repository, private=not public, dry_run=True))
    if dry_run:
        print("Nothing was sent (--dry-run).")
        return
    find_token()
    if not yes and not sys.stdin.isatty():
        raise PretrainedError("nobody is here to ask whether to send: give --yes, or --dry-run")
    if not yes and not typer.confirm("Send?"):
        print("Nothing was sent.")
        return
    print(f"sent     {push_to_hub(folder, repository, private=not public)}")
