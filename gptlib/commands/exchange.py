"""What ``export`` does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from gptlib import plots
from gptlib.errors import CheckpointError
from gptlib.files import atomic_write, check_absent, new_folder
from gptlib.model import GPT, count_parameters
from gptlib.pretrained.export import CARD, FIGURE, model_card, write_model
from gptlib.tokenizer import Tokenizer
from gptlib.training.checkpoint import MODEL, Checkpoint, load_checkpoint, model_of
from gptlib.training.metrics import FILE_NAME, Row, curve, read_metrics


def export_run(run: Path, folder: Path) -> list[str]:
    """Write a run's model, its tokenizer and a card into a new folder.

    Args:
        run: its folder, whose newest intact checkpoint is taken, or one checkpoint.
        folder: must not exist.

    Returns:
        Lines that tell what was done.

    Raises:
        CheckpointError: there is no intact checkpoint.
        FolderError: the folder exists or cannot be written.
    """
    if not run.is_dir():
        raise CheckpointError(f"no run in {run}: train one first (python -m gptlib train)")
    check_absent(folder)
    checkpoint = load_checkpoint(run, MODEL)
    model, tokenizer = model_of(checkpoint)
    facts = facts_of(folder.resolve().name, checkpoint, model, tokenizer)
    with new_folder(folder) as part:
        write_model(part, model, tokenizer)
        if curve(facts["rows"], "loss")[0]:
            plt.switch_backend("agg")  # files only: a machine without a screen draws as well
            plots.save(plots.loss_curves(facts["rows"]), part / FIGURE)
            facts["figure"] = FIGURE
        with atomic_write(part / CARD, "w") as file:
            file.write(model_card(**facts))
    return report(folder, checkpoint, facts, model)


def facts_of(
    title: str, checkpoint: Checkpoint, model: GPT, tokenizer: Tokenizer | None
) -> dict[str, Any]:
    """What :func:`model_card` asks about a checkpoint."""
    metrics = checkpoint.folder.parent.parent / FILE_NAME
    rows: list[Row] = read_metrics(metrics) if metrics.is_file() else []
    return {
        "title": title,
        "config": model.config,
        "n_parameters": count_parameters(replace(model.config, vocab_multiple=1))["total"],
        "tokenizer": tokenizer.name if tokenizer else None,
        "step": checkpoint.state["step"],
        "rows": rows[: checkpoint.state.get("metrics_rows", 0)],
    }


def report(folder: Path, checkpoint: Checkpoint, facts: dict[str, Any], model: GPT) -> list[str]:
    """What was done, what was left out and what to do next."""
    lines = [f"exported {checkpoint.folder}: {facts['n_parameters']:,} parameters"]
    best = checkpoint.state.get("best_step")
    if best not in (None, facts["step"]):
        lines.append(
            f"best     validation was best at step {best}: "
            f'export "{checkpoint.folder.with_name(f"step-{best:08d}")}" for those weights'
        )
    spare = len(model.token_embedding.weight) - model.config.vocab_size
    if spare:
        lines.append(f"left out {spare:,} spare rows of the token table: no token has them")
    if facts["tokenizer"] is None:
        lines.append("left out the tokenizer: the run has none")
    lines.append(f'read     "{folder / CARD}" before you share it: it leaves the licence to you')
    return lines
