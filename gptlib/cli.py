"""The command line: ``python -m gptlib prepare|train|generate|export|…``."""

import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from gptlib.errors import GPTLibError
from gptlib.options import COMMANDS, SHAPE, TRAINING, build_parser


def run_command() -> None:
    """Read the command line, import what runs the command, torch and all, and run it."""
    parser = build_parser()
    words, unread = parser.parse_known_args()
    if words.command is None:
        parser.error("COMMAND is missing") if unread else parser.print_help()
        return
    between = words.command == "evaluate" and words.run is None and len(unread) == 1
    if between and not unread[0].startswith("-"):  # an option stood between RUN and TEXT
        words.run, words.text = words.text, unread.pop()
    if unread:
        words.parser.error(f"unrecognized arguments: {' '.join(unread)}")
    chosen = {name: value for name, value in vars(words).items() if name != "parser"}

    def take(*names: str) -> dict[str, Any]:
        given = {name: chosen.pop(name) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    command = chosen.pop("command")
    if command == "prepare":
        bounds = ("arabizi", "least_arabic", "least_darija", "shortest", "longest")
        chosen["n_shards"] = chosen.pop("shards")
        chosen |= {
            "cleaning": take(*bounds, "near_duplicates"),
            "splitting": take("n_shards", "validation", "test", "drop_shared"),
        }
    elif command == "plan":
        chosen["shape"] = take(*SHAPE, "vocab_size")
    elif command == "train":
        chosen |= {"shape": take(*SHAPE), "options": take(*TRAINING, "epochs", "tokens")}
    elif command == "evaluate":
        if (chosen["run"] is None) == (chosen["model"] is None):
            words.parser.error("give the model once, as RUN or as --model")
        chosen["model"] = chosen.pop("run") or chosen["model"]
    getattr(importlib.import_module(f"gptlib.commands.{COMMANDS[command]}"), command)(**chosen)


def main(run: Callable[[], Any] = run_command) -> None:
    """Run a command line; what a user can mend is one line on stderr and exit code 2."""
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            # Windows redirects in an older code page; names of files may be no UTF-8
            errors = "surrogateescape" if name == "stdout" else "backslashreplace"
            stream.reconfigure(encoding="utf-8", errors=errors)
    try:
        try:
            run()
        finally:
            sys.stdout.flush()
    except GPTLibError as problem:
        fail(str(problem))
    except BrokenPipeError:  # whoever read has read enough
        leave_output()
        sys.exit(1)
    except OSError as problem:
        leave_output()
        place = problem.filename or "what was written"
        fail(f"{place}: {problem.strerror or problem}: make room, or give another place")
    except MemoryError:
        fail("out of memory: take a smaller model, text or number")
    except (KeyboardInterrupt, EOFError):  # Ctrl-C; Ctrl-D in place of an answer
        sys.exit(130)


def fail(problem: str) -> NoReturn:
    """Say in one line what is wrong, and end."""
    print(f"error: {' '.join(problem.split(chr(10)))}", file=sys.stderr)
    sys.exit(2)


def leave_output() -> None:
    """Let what could not be written go, or Python would try again at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
