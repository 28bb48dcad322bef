"""``plot``, ``export`` and ``push``: what becomes of a run."""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt

from gptlib import plots
from gptlib.commands.inputs import find_run, open_checkpoint, quoted
from gptlib.errors import ConfigError, PretrainedError
from gptlib.files import atomic_write, check_absent, new_folder
from gptlib.model import count_parameters
from gptlib.pretrained.export import (
    CARD,
    FIGURE,
    find_token,
    model_card,
    push_to_hub,
    write_model,
)
from gptlib.training.checkpoint import model_of
from gptlib.training.metrics import FILE_NAME, curve, read_metrics

FIGURES = "figures"  # the folder in a run's own


def plot(runs: list[Path], out: Path | None = None, format: str = "png") -> None:
    """Draw every figure that the metrics of some runs allow; two or more are overlaid as well.

    They go to `out`, those of several runs in a folder each, or to ``figures`` in each run; the
    overlay then goes to the first one's.
    """
    plt.switch_backend("agg")  # files only: a machine without a screen draws as well
    rows = [read_metrics(find_run(run)) for run in runs]
    named = dict(zip(labels(runs), rows, strict=True))
    for run, (label, its_rows) in zip(runs, named.items(), strict=True):
        own = out / label if out and len(runs) > 1 else out
        print(*plots.save_all(its_rows, own or run / FIGURES, format), sep="\n")
    if len(runs) > 1:
        place = (out or runs[0] / FIGURES) / f"comparison.{format}"
        print(plots.save(plots.compare(named), place))


def labels(runs: list[Path]) -> list[str]:
    """The names of the runs' folders, with the folder above where two are alike."""
    for parts in (1, 2):
        names = ["-".join(run.resolve().parts[-parts:]) for run in runs]
        if len(set(names)) == len(names):
            return names
    raise ConfigError(f"{', '.join(names)}: two runs have one name: give each run once")


def export(run: Path, folder: Path, checkpoint: str | None = None) -> None:
    """Write a run's model, its tokenizer and a card into a new folder; see `open_checkpoint`."""
    find_run(run)
    check_absent(folder)
    found, said = open_checkpoint(run, checkpoint)
    model, tokenizer = model_of(found)
    metrics = found.folder.parent.parent / FILE_NAME
    rows = read_metrics(metrics) if metrics.is_file() else []
    rows = rows[: found.state.get("metrics_rows", 0)]
    n_parameters = count_parameters(replace(model.config, vocab_multiple=1))["total"]
    facts = {"title": folder.resolve().name, "config": model.config, "step": found.state["step"]}
    facts |= {"tokenizer": tokenizer and tokenizer.name, "n_parameters": n_parameters}
    with new_folder(folder) as part:
        write_model(part, model, tokenizer)
        if curve(rows, "loss")[0]:
            plt.switch_backend("agg")
            plots.save(plots.loss_curves(rows), part / FIGURE)
            facts["figure"] = FIGURE
        with atomic_write(part / CARD, "w") as file:
            file.write(model_card(**facts, rows=rows))
    print(f"exported {said}: {n_parameters:,} parameters")
    if spare := len(model.token_embedding.weight) - model.config.vocab_size:
        print(f"left out {spare:,} spare rows of the token table: no token has them")
    if tokenizer is None:
        print("left out the tokenizer: the run has none")
    print(f"read     {quoted(folder / CARD)} before you share it: it leaves the license to you")


def push(folder: Path, repository: str, dry_run: bool, public: bool, yes: bool) -> None:
    """Send an exported folder to the Hugging Face hub, after asking; see :func:`push_to_hub`."""
    print(push_to_hub(folder, repository, private=not public, dry_run=True))
    if dry_run:
        print("Nothing was sent (--dry-run).")
        return
    find_token()
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise PretrainedError("nobody is here to ask whether to send: give --yes, or --dry-run")
    if not yes and input("Send? [y/N] ").strip().lower() not in ("y", "yes"):
        print("Nothing was sent.")
        return
    print(f"sent     {push_to_hub(folder, repository, private=not public)}")
