"""The command line: ``python -m gptlib prepare|train|generate|export|…``.

Each command imports what it runs when it runs it: the help answers at once, without torch.
"""

import io
import sys
import warnings

import typer

from gptlib.cli.evaluate import evaluate
from gptlib.cli.exchange import export, push
from gptlib.cli.generate import generate
from gptlib.cli.look import plot
from gptlib.cli.plan import plan
from gptlib.cli.prepare import inspect, prepare
from gptlib.cli.train import train
from gptlib.errors import GPTLibError

app = typer.Typer(
    help="Build GPT-2, from bytes to a model that writes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts faster, and reads the same in every terminal
    pretty_exceptions_enable=False,
)
app.command()(prepare)
app.command()(inspect)
app.command()(plan)
app.command()(train)
app.command()(plot)
app.command()(generate)
app.command()(evaluate)
app.command()(export)
app.command()(push)


def main(commands: typer.Typer = app, name: str = "gptlib") -> None:
    """Run a command line; what a user can mend is one line on stderr and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8")  # Windows redirects in an older code page
    try:
        commands(prog_name=f"python -m {name}")
    except GPTLibError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except OSError as problem:
        if problem.filename is None:
            raise  # nothing that another file or folder would mend
        print(f"error: {problem.filename}: {problem.strerror}: give another one", file=sys.stderr)
        sys.exit(2)
