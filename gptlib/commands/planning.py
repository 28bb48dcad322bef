"""What ``plan`` does: print what a run needs, and the command that begins it."""

import shlex
from typing import Any

from gptlib.config import GPTConfig, require
from gptlib.model import count_parameters
from gptlib.planning import GIB, TOKENS_PER_PARAMETER, UTILIZATION, Plan, find_machine, make_plan
from gptlib.training.flops import flops_per_token

LONG_RUN = 1_000  # steps from which on `foundation`'s warm-up and intervals suit a run
QUICK_VALIDATION = 20  # batches: all of a large text would take longer than the steps between
UNITS = (("hours", 3_600), ("minutes", 60), ("seconds", 1))  # the largest first


def plan_run(
    corpus: str,
    model_name: str,
    shape: dict[str, Any],
    device: str | None,
    processes: int,
    utilization: float | None,
    **length: Any,
) -> None:
    """Print the plan of a run as a table, and its command.

    Args:
        corpus: stands in the command; it is not read.
        model_name, shape: as for ``train``.
        device, processes, utilization, length: see :mod:`gptlib.planning`.

    Raises:
        ConfigError: something is unknown, cannot be, or does not fit the memory.
    """
    config, machine = GPTConfig.named(model_name, **shape), find_machine(device)
    kind = machine.device_type
    require(
        processes == 1 or kind == "cuda",
        f"{processes} processes would share one {kind}: leave --processes out",
    )
    plan = make_plan(config, machine, processes, utilization=utilization, **length)
    share = utilization or UTILIZATION[kind]
    where = f"{processes} × {machine.name}" if processes > 1 else machine.name
    dtype = str(machine.dtype).removeprefix("torch.")
    print(f"{model_name} with {config.context_length:,} tokens of context on {where}, {dtype}")
    print(
        f"By formula, from {amount(machine.peak_flops / 1e12)} TFLOP/s ({machine.peak_source}) and "
        f"a utilization of {share:g} {'that we assume' if utilization is None else 'as given'}.\n"
    )
    limit = f" of {machine.memory / GIB:.2f}" if machine.memory else ""
    per_token, total = flops_per_token(config), count_parameters(config)["total"]
    rate = plan.tokens_per_step / plan.seconds_per_step
    lines = [
        ("parameters", f"{total / 1e6:,.1f}", "million"),
        *((f"  {part}", f"{size / GIB:.2f}", "GiB") for part, size in plan.memory.items()),
        ("memory", f"{sum(plan.memory.values()) / GIB:.2f}{limit}", "GiB"),
        ("micro-batch", f"{plan.batch_size:,} × {config.context_length:,}", "tokens"),
        ("accumulation", f"{plan.accumulation:,}", "micro-batches"),
        ("one step", f"{plan.tokens_per_step:,}", "tokens"),
        ("  takes", *duration(plan.seconds_per_step)),
        ("speed", f"{rate:,.0f}", "tokens/s"),
        ("arithmetic", f"{per_token / 1e6:,.1f}", "MFLOP/token"),
        (
            "compute-optimal",
            f"{TOKENS_PER_PARAMETER * total / 1e6:,.0f}",
            f"million tokens, {TOKENS_PER_PARAMETER} a parameter",
        ),
        ("this run", f"{plan.steps * plan.tokens_per_step / 1e6:,.1f}", "million tokens"),
        ("  steps", f"{plan.steps:,}", ""),
        ("  takes", *duration(plan.steps * plan.seconds_per_step)),
    ]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for what, value, unit in lines:
        print(f"{what:<{widths[0]}}  {value:>{widths[1]}}  {unit}".rstrip())
    print("Validation and checkpoints come on top.\n")
    print(train_command(corpus, model_name, shape, processes, plan, config.vocab_size))


def amount(value: float) -> str:
    """A number above 0 with three digits that count, or its whole part where it is longer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> tuple[str, str]:
    """A time as a number and its unit, such as ``("1.5", "minutes")``."""
    unit, length = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    return amount(seconds / length), unit


def train_command(
    corpus: str, model_name: str, shape: dict[str, Any], processes: int, plan: Plan, vocab_size: int
) -> str:
    """The command that begins this run, and goes on with it when it is given again.

    Its numbers hold for a tokenizer of `vocab_size`; where that is not GPT-2's, FOLDER stands for
    the folder of one.
    """
    long = plan.steps >= LONG_RUN
    options = {
        "model": model_name,
        **{name: value for name, value in shape.items() if name != "vocab_size"},  # a tokenizer's
        "tokenizer": None if vocab_size == GPTConfig().vocab_size else "FOLDER",
        "settings": "foundation" if long else "fast",
        "evaluate_batches": None if long else QUICK_VALIDATION,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "accumulation": plan.accumulation,
        "out": shlex.quote(f"runs/{model_name}"),
    }
    words = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in options.items()
        if value is not None
    ]
    start = "python" if processes == 1 else f"torchrun --nproc_per_node {processes}"
    return " ".join([start, "-m gptlib train", shlex.quote(corpus), *words, "--resume"])
