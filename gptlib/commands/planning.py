"""What ``plan`` does: measure what can be measured here, and print the plan as a table."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from gptlib.config import GPTConfig, require
from gptlib.data.prepared import shards_in
from gptlib.data.shards import open_shards
from gptlib.model import count_parameters
from gptlib.planning.costs import Costs, assume, calibrate
from gptlib.planning.footprint import Batch, memory_parts
from gptlib.planning.machine import GIB, Machine, find_machine
from gptlib.planning.plan import TOKENS_PER_PARAMETER, Plan, make_plan, probe_limit
from gptlib.planning.probe import run_probe
from gptlib.planning.wish import Wish
from gptlib.planning.words import amount, counted, duration
from gptlib.training.flops import flops_per_token

LONG_RUN = 1_000  # steps from which on `foundation`'s warm-up and intervals suit a run
QUICK_VALIDATION = 20  # batches: all of a large text would take longer than the steps between
Line = tuple[str, str, str, str]  # what, value, unit, how it is known


def plan_run(
    corpus: str,
    model_name: str,
    shape: dict[str, Any],
    device: str | None,
    wish: Wish,
    data: Path | None = None,
) -> None:
    """Print what a run needs and the command that begins it.

    Args:
        corpus: stands in the command; it is not read.
        model_name, shape: as for ``train``.
        device: a GPU of the table, or None for this machine.
        wish: what is asked of the run.
        data: a prepared folder in the place of `corpus`; it tells the vocabulary and how many
            tokens there are.

    Raises:
        ShardError: that folder is not as it was written; hashes are not checked.
        ConfigError: something is unknown, or does not fit the memory or the session.
    """
    tokens = open_shards(shards_in(data), "train") if data else None
    vocabulary = {"vocab_size": tokens.vocab_size} if tokens else {}
    config, machine = GPTConfig.named(model_name, **shape | vocabulary), find_machine(device)
    require(
        wish.processes == 1 or machine.device_type == "cuda",
        f"{wish.processes} processes would share one {machine.device_type}: leave --processes out",
    )
    costs = costs_on(config, wish, machine)
    plan = make_plan(config, wish, machine, costs)
    print(heading(config, model_name, machine, plan))
    print_table(table(config, machine, costs, plan))
    if tokens:
        epochs = f"{amount(plan.tokens / len(tokens))} epochs"
        print(f"{data} has {len(tokens):,} tokens to train on: this run is {epochs}.")
    elif config.vocab_size != GPTConfig().vocab_size:
        print(f"FOLDER stands for a tokenizer that knows {config.vocab_size:,} tokens.")
    print(train_command(corpus, model_name, shape, wish, plan, config.vocab_size, data))


def costs_on(config: GPTConfig, wish: Wish, machine: Machine) -> Costs:
    """Costs measured by a few steps if the machine is here, else assumed."""
    rough = assume(config, machine)
    if not machine.here:
        return rough
    draft = make_plan(config, replace(wish, steps=1, tokens=None, max_minutes=None), machine, rough)
    print("measuring a few steps …", flush=True)

    def modelled(batch: Batch) -> int:
        return sum(memory_parts(config, batch, machine.dtype, machine.device_type).values())

    return calibrate(run_probe(config, probe_limit(draft.batch.size)), modelled)


def heading(config: GPTConfig, name: str, machine: Machine, plan: Plan) -> str:
    """One line: what is planned, and where."""
    device = f"{plan.processes} × {machine.name}" if plan.processes > 1 else machine.name
    dtype = str(machine.dtype).removeprefix("torch.")
    return f"{name} with {config.context_length:,} tokens of context on {device}, {dtype}\n"


def table(config: GPTConfig, machine: Machine, costs: Costs, plan: Plan) -> list[Line]:
    """The plan's figures, each with its unit and how it is known."""
    known = "measured steps" if costs.measured and plan.processes == 1 else "modelled"
    total, per_token = sum(plan.memory.values()), flops_per_token(config)
    limit = f" of {plan.memory_limit / GIB:.2f}" if plan.memory_limit else ""
    peak = machine.peak_flops * plan.processes
    utilisation = plan.tokens_per_second * per_token / peak
    return [
        ("parameters", f"{count_parameters(config)['total'] / 1e6:,.1f}", "million", "counted"),
        *memory_lines(plan, costs),
        ("memory, all", f"{total / GIB:.2f}{limit}", "GiB", f"modelled + {process(costs)}"),
        ("micro-batch", f"{plan.batch.size:,} × {config.context_length:,}", "tokens", "chosen"),
        ("accumulation", f"{plan.accumulation:,}", "micro-batches", "chosen"),
        ("one step", f"{plan.tokens_per_step:,}", "tokens", "chosen"),
        ("one step takes", *duration(plan.step_seconds), known),
        ("speed", f"{plan.tokens_per_second:,.0f}", "tokens/s", known),
        ("arithmetic", f"{per_token / 1e6:,.1f}", "MFLOP/token", "modelled"),
        ("utilisation", f"{utilisation:.0%}", f"of {amount(peak / 1e12)} TFLOP/s", known),
        (
            "compute-optimal",
            f"{plan.optimal_tokens / 1e6:,.0f}",
            "million tokens",
            f"modelled: {TOKENS_PER_PARAMETER} a parameter",
        ),
        ("  would take", *duration(plan.optimal_tokens / plan.tokens_per_second), known),
        ("this run", f"{plan.tokens / 1e6:,.1f}", "million tokens", counted(plan.steps, "step")),
        ("  its arithmetic", f"{plan.tokens * per_token:.2e}", "FLOP", "modelled"),
        ("  takes", *duration(plan.seconds), f"{known}; validation, checkpoints on top"),
    ]


def memory_lines(plan: Plan, costs: Costs) -> list[Line]:
    """Memory by part; what the process itself takes is the only part that needs measuring."""
    return [
        (
            f"  {part}",
            f"{size / GIB:.2f}",
            "GiB",
            process(costs) if part == "process" else "modelled",
        )
        for part, size in plan.memory.items()
    ]


def process(costs: Costs) -> str:
    """How the memory of the process itself is known."""
    return "measured" if costs.measured else "assumed"


def print_table(lines: list[Line]) -> None:
    """Print lines in columns, numbers to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for what, value, unit, how in lines:
        print(f"{what:<{widths[0]}}  {value:>{widths[1]}}  {unit:<{widths[2]}}  {how}")
    print()


def train_command(
    corpus: str,
    model_name: str,
    shape: dict[str, Any],
    wish: Wish,
    plan: Plan,
    vocab_size: int,
    data: Path | None = None,
) -> str:
    """The command that begins this run, and goes on with it when it is given again.

    Its numbers of tokens and its memory hold for a tokenizer of `vocab_size`; where that is not
    GPT-2's, the folder of one is left open, unless `data` holds it.
    """
    long, gpt2s = plan.steps >= LONG_RUN, vocab_size == GPTConfig().vocab_size
    options = {
        "model": model_name,
        **{name: value for name, value in shape.items() if name != "vocab_size"},  # a tokenizer's
        "tokenizer": None if gpt2s or data else "FOLDER",
        "settings": "foundation" if long else "fast",
        "evaluate_batches": None if long else QUICK_VALIDATION,
        "steps": plan.steps,
        "batch_size": plan.batch.size,
        "accumulation": plan.accumulation,
        "max_minutes": wish.max_minutes and f"{wish.max_minutes:.15g}",  # 60 and not 60.0
        "out": shlex.quote(f"runs/{model_name}"),
    }
    words = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in options.items()
        if value is not None
    ]
    start = "python" if plan.processes == 1 else f"torchrun --nproc_per_node {plan.processes}"
    text = f"--data {shlex.quote(str(data))}" if data else shlex.quote(corpus)
    return " ".join([start, "-m gptlib train", text, *words, "--resume"])
