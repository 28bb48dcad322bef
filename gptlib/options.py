"""What each command may be told: the parser of ``python -m gptlib``.

Nothing here imports torch, so that the help answers at once. The options of a model and of a
training are made of the fields of their records: name, meaning and type stand there alone.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import fields
from inspect import cleandoc
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from gptlib import __version__
from gptlib.config import MODELS, PRESETS, GPTConfig, TrainingConfig, did_you_mean
from gptlib.errors import ConfigError

COMMANDS = {  # and the files that run them
    **{"prepare": "prepare", "inspect": "prepare", "plan": "plan", "train": "train"},
    **{"plot": "runs", "generate": "generate", "evaluate": "generate"},
    **{"export": "runs", "push": "runs"},
}
SHAPE = ("context_length", "n_layers", "n_heads", "width", "dropout")
TRAINING = [each.name for each in fields(TrainingConfig)]
VARIABLES = """environment variables:
  GPTLIB_DEVICE       cpu, cuda or mps, as --device; left out: the best that works
  GPTLIB_PROFILE      laptop or gpu: the size at which the notebooks run
  GPTLIB_RUNS         the folder of training runs; left out: runs/ where you are
  GPTLIB_DATA         the folder of downloaded texts; left out: the user's cache
  GPTLIB_CORPORA      bundled: samples stand in for texts that would be downloaded
  HF_HUB_OFFLINE      1 forbids every download
  HF_TOKEN            your token for the Hugging Face hub; a file .env may hold it
  TIKTOKEN_CACHE_DIR  where tiktoken keeps GPT-2's vocabulary: looked into first
  CI                  any value: no progress bars"""
TEXT = """A text by name (sample-story, sample-articles, sample-darija, the-verdict, python-docs,
wikipedia, darija, openwebtext, tiny-textbooks); the path of a .txt, .jsonl or .parquet file or of
a folder of these; hub:owner/name?config=…&split=…&column=… of the Hugging Face hub; or - for
standard input."""
MODEL = """gpt2, gpt2-medium, gpt2-large or gpt2-xl: OpenAI's weights; a run, or one of its
checkpoints; or a folder with config.json, model.safetensors and a tokenizer."""
CHECKPOINT: Any = {"metavar": "best|last|STEP", "help": "of a run; left out: the last"}
DEVICE: Any = {"choices": ("cpu", "cuda", "mps"), "help": "left out: the best that works here"}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, which asks whether a near word was meant."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            **settings, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        word = re.search(r"invalid choice: '(.*?)'|arguments: (\S+)", message)
        known = [(*each.option_strings, *map(str, each.choices or ())) for each in self._actions]
        hint = did_you_mean(word[1] or word[2] or "", chain(*known)) if word else ""
        raise ConfigError(f"{message}: see {self.prog} --help{hint}")


def add_fields(parser: Any, record: type, names: Sequence[str]) -> None:
    """An option for each of these fields of a record: its meaning and limits are the field's."""
    for each in fields(record):
        if each.name in names:
            option, help = f"--{each.name.replace('_', '-')}", each.metadata["help"]
            kind: dict[str, Any] = {"type": each.type, "metavar": "N"}
            if each.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            elif each.name == "betas":
                kind = {"type": float, "nargs": 2, "metavar": "N"}
            elif "choices" in each.metadata:
                kind = {"choices": each.metadata["choices"]}
            parser.add_argument(option, help=help, default=None, **kind)


def add_text(parser: Any, *, optional: bool = False) -> None:
    """What names a text, and what of it to read."""
    parser.add_argument("text", metavar="TEXT", help=TEXT, nargs="?" if optional else None)
    group = parser.add_argument_group("what of the text")
    group.add_argument("--documents", type=int, metavar="N", help="so many, from the first")
    group.add_argument("--language", help="of Wikipedia, such as ar; left out: en")
    parts = r'of documents in a .txt file: "\n\n" is a blank line; left out: a file is one'
    group.add_argument("--separator", metavar="S", help=parts)


def add_model(parser: Any, *, required: bool = True) -> None:
    """What names a model, and where it runs."""
    parser.add_argument("--model", required=required, metavar="gpt2|RUN|FOLDER", help=MODEL)
    parser.add_argument("--checkpoint", **CHECKPOINT)
    parser.add_argument("--device", **DEVICE)


def prepare(parser: Parser) -> None:
    """Clean, split, tokenize and shard a text into a folder that train reads.

    The folder is written whole or not at all.
    """
    add_text(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new one")
    add = parser.add_argument_group("cleaning").add_argument
    add("--clean", choices=("none", "text", "darija"), default="none", help="text: any language")
    latin: Any = {"action": argparse.BooleanOptionalAction, "default": None}
    add("--arabizi", **latin, help="darija: keep rows in Latin letters, as is usual")
    add("--least-arabic", type=float, metavar="SHARE", help="darija: of Arabic letters, 0 to 1")
    add("--least-darija", type=float, metavar="SCORE", help="0.5 drops standard Arabic as well")
    add("--shortest", type=int, metavar="N", help="drop rows of fewer characters; left out: 5")
    add("--longest", type=int, metavar="N", help="and of more; left out: darija 100,000, text none")
    add("--near-duplicates", type=float, metavar="SHARE", help="and copies by so much, such as 0.8")
    add = parser.add_argument_group("tokens").add_argument
    add("--tokenizer", help="gpt2, or a folder that holds a saved one; left out: gpt2")
    add("--vocab-size", type=int, metavar="N", help="or: train one of so many tokens")
    add("--shards", type=int, default=20, metavar="N", help="files of training tokens; else 20")
    add = parser.add_argument_group("splits").add_argument
    add("--validation", type=float, default=0.1, metavar="SHARE", help="of documents; else 0.1")
    add("--test", type=float, default=0.0, metavar="SHARE", help="the same; left out: none")
    add("--drop-shared", action="store_true", help="held-out ones that share 20 tokens in a row")


def inspect(parser: Parser) -> None:
    """Tell what a prepared folder holds: documents, tokens, bytes per token, a few pieces."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="what prepare has written, or its shards")
    add("--pieces", type=int, default=3, metavar="N", help="to decode; else 3")
    add("--seed", type=int, default=0, metavar="N", help="of their places")
    add("--verify", action="store_true", help="hash every file: is it what was written?")


def plan(parser: Parser) -> None:
    """Tell what a training run needs before it begins: memory, tokens a second, hours.

    All by formula, so it answers at once, for GPUs that are not here as well.
    """
    add = parser.add_argument
    add("text", metavar="TEXT", nargs="?", default="TEXT", help="only written into the command")
    add("--device", help="a GPU by name, such as T4, L4 or A100; left out: this machine")
    add("--processes", type=int, default=1, metavar="N", help="GPUs that train together")
    add("--utilization", type=float, metavar="SHARE", help="of the peak; else 0.3, on a CPU 0.7")
    add = parser.add_argument_group("length").add_argument
    add("--steps", type=int, metavar="N", help="of the run")
    add("--tokens", type=float, metavar="N", help="or; left out: 20 for each parameter")
    add("--tokens-per-step", type=int, metavar="N", help="left out: 524,288, fewer if small")
    add("--batch-size", type=int, metavar="N", help="in windows; left out: as many as fit")
    group = parser.add_argument_group("model")
    group.add_argument("--model", default="gpt2", help="by name or size; left out: gpt2")
    add_fields(group, GPTConfig, [*SHAPE, "vocab_size"])


def train(parser: Parser) -> None:
    """Train a model on a text or a prepared folder; its run goes to a folder of its own.

    Ctrl-C and SIGTERM end the session at the next step, with a checkpoint. With --out and
    --resume the same command begins a run, and goes on with it as often as it is given; with more
    --steps it goes on beyond its end, at the rate that it ended with.
    """
    add_text(parser, optional=True)
    add = parser.add_argument_group("data").add_argument
    add("--data", metavar="FOLDER", help="in place of TEXT: what prepare has written")
    add("--tokenizer", help="gpt2, characters, or a folder; left out: the model's own, else gpt2")
    group = parser.add_argument_group("model", "The shape is the named one's where it is left out.")
    names = f"a new one: {', '.join(MODELS)}, or a size such as 124M; left out: laptop"
    group.add_argument("--model", metavar="NAME", help=names)
    group.add_argument("--init-from", metavar="gpt2|RUN|FOLDER", help="weights to begin with")
    add_fields(group, GPTConfig, SHAPE)
    group = parser.add_argument_group("settings", "Options replace values of file and name.")
    names = f"by name: {', '.join(PRESETS)}; left out: fast"
    group.add_argument("--settings", default="fast", metavar="NAME", help=names)
    group.add_argument("--config", type=Path, metavar="FILE", help="TOML: learning_rate = 3e-4")
    group.add_argument("--epochs", type=float, metavar="N", help="in place of --steps")
    group.add_argument("--tokens", type=float, metavar="N", help="in place of --steps")
    add_fields(group, TrainingConfig, TRAINING)
    group.add_argument("--print-settings", action="store_true", help="as TOML, and do not train")
    group = parser.add_argument_group("run")
    group.add_argument("--device", **DEVICE)
    group.add_argument("--out", type=Path, metavar="RUN", help="left out: a new folder in runs/")
    group.add_argument("--resume", action="store_true", help="go on with the run in --out, if any")
    group.add_argument("--max-minutes", type=float, metavar="N", help="end in time, saved")


def plot(parser: Parser) -> None:
    """Draw a run's curves: loss, rate, norms, speed, memory. Several runs: over each other too."""
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="the folder of a run")
    add("--out", type=Path, metavar="FOLDER", help="left out: figures/ in each run")
    add("--format", choices=("png", "pdf", "svg"), default="png", help="left out: png")


def generate(parser: Parser) -> None:
    """Continue a text: with a model that was trained here, or with OpenAI's weights."""
    add = parser.add_argument
    add_model(parser)
    add("--prompt", metavar="TEXT", help="left out: standard input")
    add("--max-new-tokens", type=int, default=30, metavar="N", help="at most; else 30")
    add("--num-return-sequences", type=int, default=1, metavar="N", help="continuations; else 1")
    add("--temperature", type=float, default=1.0, metavar="N", help="0: the likeliest; else 1")
    add("--top-k", type=int, metavar="N", help="draw among the k likeliest tokens only")
    add("--top-p", type=float, metavar="P", help="and among the fewest that hold P, 0 to 1")
    repeats = "above 1, tokens that the text holds become less likely"
    add("--repetition-penalty", type=float, default=1.0, metavar="N", help=repeats)
    add("--seed", type=int, metavar="N", help="the same, for as many sequences: the same texts")
    add("--dtype", default="float32", help="int8: faster on a CPU; bfloat16: on a GPU")
    add("--compile", action="store_true", dest="compiled", help="for GPUs")
    add("--stream", action="store_true", help="show the text while it is written")
    add("--json", action="store_true", dest="as_json", help="with tokens and log-probabilities")


def evaluate(parser: Parser) -> None:
    """Say how well a model foretells a text: perplexity, and bits per byte.

    TEXT may be a prepared folder: its validation split. RUN TEXT is --model RUN TEXT.
    """
    parser.add_argument("run", nargs="?", metavar="RUN", help="in place of --model")
    add_text(parser)
    add_model(parser, required=False)
    parser.add_argument("--json", action="store_true", dest="as_json", help="the figures as JSON")


def export(parser: Parser) -> None:
    """Write a run's model as a folder that transformers and the Hugging Face hub read."""
    parser.add_argument("run", type=Path, metavar="RUN", help="of a run, or of one checkpoint")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new one")
    parser.add_argument("--checkpoint", **CHECKPOINT)


def push(parser: Parser) -> None:
    """Send an exported folder to the Hugging Face hub, after asking."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="what export has written: nothing else goes")
    add("repository", metavar="OWNER/NAME", help="on the hub")
    add("--dry-run", action="store_true", help="only show what would be sent")
    add("--public", action="store_true", help="a new repository is for everybody, not private")
    add("--yes", action="store_true", help="do not ask")


def build_parser() -> Parser:
    """The parser of all commands; each function above adds one's words."""
    parser = Parser(
        prog="python -m gptlib",
        description="Build GPT-2, from bytes to a model that writes.",
        epilog=VARIABLES,
    )
    parser.add_argument("--version", action="version", version=f"gptlib {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name in COMMANDS:
        add_words = globals()[name]
        about = cleandoc(add_words.__doc__)
        command = commands.add_parser(name, help=about.split("\n\n")[0], description=about)
        add_words(command)
        places = (each.metavar for each in command._get_positional_actions())
        command.usage = f"%(prog)s [options] {' '.join(map(str, places))}"
        command.set_defaults(parser=command)
    return parser
