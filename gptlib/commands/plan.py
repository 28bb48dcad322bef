"""``plan``: what a run needs, and the command that begins it."""

import shlex
from typing import Any

from gptlib.config import GPTConfig, require
from gptlib.model import count_parameters
from gptlib.planning import GIB, TOKENS_PER_PARAMETER, UTILIZATION, Plan, find_machine, make_plan
from gptlib.training.flops import flops_per_token

LONG_RUN = 1_000  # steps from which on `foundation`'s warm-up and intervals suit a run
QUICK_VALIDATION = 20  # batches: all of a large text would take longer than the steps between
UNITS = (("hours", 3_600), ("minutes", 60), ("seconds", 1))  # the largest first


def plan(
    text: str,
    model: str,
    shape: dict[str, Any],
    device: str | None,
    processes: int,
    utilization: float | None,
    **length: Any,
) -> None:
    """Print the plan of a run as a table, and its command, in which `text` stands unread."""
    config, machine = GPTConfig.named(model, **shape), find_machine(device)
    kind = machine.device_type
    require(
        processes == 1 or kind == "cuda",
        f"{processes} processes would share one {kind}: leave --processes out",
    )
    run = make_plan(config, machine, processes, utilization=utilization, **length)
    share = (
        f"{utilization or UTILIZATION[kind]:g} {'as given' if utilization else 'that we assume'}"
    )
    where = f"{processes} × {machine.name}" if processes > 1 else machine.name
    dtype = str(machine.dtype).removeprefix("torch.")
    print(f"{model} with {config.context_length:,} tokens of context on {where}, {dtype}")
    print(
        f"By formula, from {amount(machine.peak_flops / 1e12)} TFLOP/s ({machine.peak_source}) and "
        f"a utilization of {share}.\n"
    )
    limit = f" of {machine.memory / GIB:.2f}" if machine.memory else ""
    total, step = count_parameters(config)["total"], run.tokens_per_step
    optimal = f"{TOKENS_PER_PARAMETER * total / 1e6:,.0f}"
    lines = [
        ("parameters", f"{total / 1e6:,.1f}", "million"),
        *((f"  {part}", f"{size / GIB:.2f}", "GiB") for part, size in run.memory.items()),
        ("memory", f"{sum(run.memory.values()) / GIB:.2f}{limit}", "GiB"),
        ("micro-batch", f"{run.batch_size:,} × {config.context_length:,}", "tokens"),
        ("accumulation", f"{run.accumulation:,}", "micro-batches"),
        ("one step", f"{step:,}", "tokens"),
        ("  takes", *duration(run.seconds_per_step)),
        ("speed", f"{step / run.seconds_per_step:,.0f}", "tokens/s"),
        ("arithmetic", f"{flops_per_token(config) / 1e6:,.1f}", "MFLOP/token"),
        ("compute-optimal", optimal, f"million tokens, {TOKENS_PER_PARAMETER} a parameter"),
        ("this run", f"{run.steps * step / 1e6:,.1f}", "million tokens"),
        ("  steps", f"{run.steps:,}", ""),
        ("  takes", *duration(run.steps * run.seconds_per_step)),
    ]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for what, value, unit in lines:
        print(f"{what:<{widths[0]}}  {value:>{widths[1]}}  {unit}".rstrip())
    print("Validation and checkpoints come on top.\n")
    print(train_command(text, model, shape, processes, run, config.vocab_size))


def amount(value: float) -> str:
    """A number above 0 with three digits that count, or its whole part where it is longer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> tuple[str, str]:
    """A time as a number and its unit, such as ``("1.5", "minutes")``."""
    unit, length = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    return amount(seconds / length), unit


def train_command(
    text: str, model: str, shape: dict[str, Any], processes: int, run: Plan, vocab_size: int
) -> str:
    """The command that begins this run, and goes on with it when it is given again.

    Its numbers hold for a tokenizer of `vocab_size`; where that is not GPT-2's, FOLDER stands for
    the folder of one.
    """
    long = run.steps >= LONG_RUN
    options = {
        "model": model,
        **{name: value for name, value in shape.items() if name != "vocab_size"},  # a tokenizer's
        "tokenizer": None if vocab_size == GPTConfig().vocab_size else "FOLDER",
        "settings": "foundation" if long else "fast",
        "evaluate_batches": None if long else QUICK_VALIDATION,
        "steps": run.steps,
        "batch_size": run.batch_size,
        "accumulation": run.accumulation,
        "out": shlex.quote(f"runs/{model}"),
    }
    given = {name: value for name, value in options.items() if value is not None}
    words = [f"--{name.replace('_', '-')} {value}" for name, value in given.items()]
    start = "python" if processes == 1 else f"torchrun --nproc_per_node {processes}"
    return " ".join([start, "-m gptlib train", shlex.quote(text), *words, "--resume"])
