"""Claims on the planner: exact where shapes decide, honest where something is assumed."""

import inspect
import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from shard_texts import prepared_folder
from typer.testing import CliRunner

from gptlib.cli import app
from gptlib.cli.train import train
from gptlib.commands import planning
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.errors import ConfigError, OutOfMemory, ShardError
from gptlib.model import GPT, count_parameters
from gptlib.planning import probe as probing
from gptlib.planning.costs import Costs, Probe, assume, calibrate
from gptlib.planning.footprint import Batch, activation_bytes, memory_parts
from gptlib.planning.machine import GIB, Machine, find_machine
from gptlib.planning.plan import make_plan
from gptlib.planning.wish import Wish
from gptlib.planning.words import amount, counted, duration
from gptlib.training.flops import flops_per_token
from gptlib.training.optimizer import make_optimizer, moments
from gptlib.training.step import training_step

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = GPTConfig(vocab_size=53, context_length=24, n_layers=2, n_heads=4, width=32, dropout=0.0)
GPT2 = GPTConfig.named("gpt2")
CARD = Machine("card", "cuda", torch.float16, 14 * GIB, 65e12, here=False)
FREE = Costs(1.0, 0.0, 0.0, 0, 0.0, measured=False)  # one second a window and nothing else


def kept_by_autograd(config: GPTConfig, batch_size: int, dtype: torch.dtype) -> int:
    """Bytes that a forward pass really keeps, the model's own weights left out."""
    model = GPT(config, seed=0).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    copies = {tuple(p.T.shape) for p in model.blocks.parameters() if p.dim() == 2}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage().data_ptr()
        is_copy = tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in copies
        if storage not in weights and not is_copy:
            kept[storage] = tensor
        return tensor

    ids = torch.zeros(batch_size, config.context_length, dtype=torch.long)
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", dtype, enabled=dtype != torch.float32),
    ):
        note(model.features(ids))  # handed on to the loss
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({}, torch.float32),
        ({"n_layers": 3, "n_heads": 2, "context_length": 40}, torch.float32),
        ({"dropout": 0.1}, torch.float32),
        ({"dropout": 0.1, "n_layers": 1, "context_length": 16}, torch.float32),
        ({"width": 48, "qkv_bias": False}, torch.bfloat16),
    ],
)
def test_the_formula_counts_every_byte_that_autograd_keeps(changes, dtype, batch_size):
    config = GPTConfig.from_dict(TINY.to_dict() | changes)
    counted = kept_by_autograd(config, batch_size, dtype)
    assert activation_bytes(config, batch_size, dtype) == counted


def test_parameters_gradients_and_moments_have_the_bytes_of_the_real_tensors():
    model = GPT(TINY, seed=0)
    optimizer = make_optimizer(model, TrainingConfig())
    x = torch.zeros(2, TINY.context_length, dtype=torch.long)
    training_step(model, optimizer, [(x, x)], 1e-3, 1.0)
    parts = memory_parts(TINY, Batch(2, accumulation=2), torch.float32)
    tensors = list(model.parameters())
    assert parts["parameters"] == sum(tensor.nbytes for tensor in tensors)
    assert parts["gradients"] == sum(t.grad.nbytes for t in tensors if t.grad is not None)
    remembered = moments(optimizer)
    assert parts["AdamW's moments"] == sum(
        tensor.nbytes for name, tensor in remembered.items() if not name.endswith(".step")
    )


def test_activations_grow_with_the_micro_batch_and_nothing_else_grows_with_accumulation():
    two, eight = (memory_parts(GPT2, Batch(size, 2), torch.float32) for size in (2, 8))
    assert eight["activations"] == pytest.approx(4 * two["activations"], rel=1e-5)
    assert {**eight, "activations": 0} == {**two, "activations": 0}
    assert memory_parts(GPT2, Batch(4, 2), torch.float32) == memory_parts(
        GPT2, Batch(4, 9), torch.float32
    )


def test_a_short_format_halves_what_matrix_products_read():
    whole, half = (activation_bytes(TINY, 2, d) for d in (torch.float32, torch.bfloat16))
    assert 0.5 < half / whole < 0.65  # LayerNorm's inputs stay in float32


def measured(batch: Batch, truth: Costs) -> Probe:
    """What a probe would see on a machine with these costs."""
    return Probe(batch, truth.seconds(batch), truth.beside(batch) + 1_000 * batch.size)


def test_calibration_finds_the_costs_behind_noiseless_steps_and_forecasts_larger_ones():
    truth = Costs(0.5, 0.1, 0.3, 700, 25.0, measured=True)
    kinds = [Batch(1), Batch(2), Batch(2, accumulation=2)]
    found = calibrate([measured(kind, truth) for kind in kinds], lambda b: 1_000 * b.size)
    larger = Batch(16, accumulation=5)
    assert found.seconds(larger) == pytest.approx(5 * (0.1 + 16 * 0.5) + 0.3)
    assert found.beside(larger) == truth.beside(larger)


def test_calibration_by_one_size_alone_scales_with_the_windows():
    truth = Costs(0.5, 0.0, 0.3, 700, 0.0, measured=True)
    kinds = [Batch(1), Batch(1, accumulation=2)]
    found = calibrate([measured(kind, truth) for kind in kinds], lambda b: 1_000 * b.size)
    assert found.seconds(Batch(4)) == pytest.approx(4 * 0.5 + 0.3)


@pytest.mark.parametrize("seconds", [(5.0, 1.0, 1.0), (1.0, 1.0, 9.0), (1.0, 9.0, 2.0)])
def test_noise_never_makes_a_cost_negative(seconds):
    kinds = [Batch(1), Batch(2), Batch(2, accumulation=2)]
    probes = [Probe(kind, taken, 10) for kind, taken in zip(kinds, seconds, strict=True)]
    found = calibrate(probes, lambda batch: 1_000)
    assert min(found.window, found.micro_batch, found.update, found.process) >= 0
    assert found.seconds(Batch(4)) > found.seconds(Batch(2)) > 0


def test_the_step_is_shared_out_and_the_run_counted():
    plan = make_plan(GPT2, Wish(tokens=2**24, tokens_per_step=2**18, batch_size=8), CARD, FREE)
    assert (plan.batch, plan.tokens_per_step, plan.steps) == (Batch(8, 32), 2**18, 64)
    assert plan.step_seconds == 8 * 32 and plan.tokens == 2**24
    assert sum(plan.memory.values()) < CARD.memory


def test_two_processes_share_the_micro_batches_and_are_not_quite_twice_as_fast():
    one, two = (make_plan(GPT2, Wish(processes=n), CARD, FREE) for n in (1, 2))
    assert one.accumulation == two.accumulation == 2 * two.batch.accumulation
    assert one.tokens_per_step == two.tokens_per_step == 2**19  # GPT-3's half million
    assert 1.5 < two.tokens_per_second / one.tokens_per_second < 2


def test_without_a_wish_the_run_is_compute_optimal():
    plan = make_plan(GPT2, Wish(), CARD, FREE)
    assert plan.optimal_tokens == 20 * 124_439_808
    assert 0 <= plan.tokens - plan.optimal_tokens < plan.tokens_per_step


def test_the_chosen_micro_batch_is_the_largest_that_fits():
    plan = make_plan(GPT2, Wish(), CARD, FREE)
    doubled = make_plan(GPT2, Wish(batch_size=plan.batch.size), CARD, FREE)
    assert doubled.memory == plan.memory
    with pytest.raises(ConfigError):
        make_plan(GPT2, Wish(batch_size=2 * plan.batch.size), CARD, FREE)


def test_a_larger_micro_batch_is_not_chosen_where_measuring_shows_no_gain():
    flat = replace(FREE, measured=True)
    assert make_plan(GPT2, Wish(), CARD, flat).batch.size == 1
    overhead = replace(flat, micro_batch=1.0)
    assert make_plan(GPT2, Wish(), CARD, overhead).batch.size > 4


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(batch_size=64), r"64 × 1,024 tokens needs [\d.]+ GiB, card has 14.0 GiB .*--batch-s"),
        (Wish(memory_gb=1), r"1 × 1,024 tokens needs .* has 1.0 GiB .*shorter --context-length"),
        (
            Wish(steps=99, max_minutes=600),
            r"99 steps take 14.1 hours, the session has 10 hours, room for 70 ",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_value_limit_and_way_out(wish, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_plan(GPT2, wish, CARD, FREE)
    assert "\n" not in str(caught.value)


def test_the_way_out_that_a_refusal_names_works():
    with pytest.raises(ConfigError) as caught:
        make_plan(GPT2, Wish(batch_size=64), CARD, FREE)
    size = int(re.search(r"--batch-size (\d+)", str(caught.value))[1])
    assert make_plan(GPT2, Wish(batch_size=size), CARD, FREE).batch.size == size


def test_the_way_out_is_found_however_large_the_wanted_micro_batch_is():
    for size in (64, 10**15):
        with pytest.raises(ConfigError, match="use --batch-size 22, or") as caught:
            make_plan(GPT2, Wish(batch_size=size, memory_gb=10), CARD, FREE)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError):
        make_plan(GPT2, Wish(batch_size=23, memory_gb=10), CARD, FREE)
    assert make_plan(GPT2, Wish(batch_size=22, memory_gb=10), CARD, FREE).batch.size == 22


@pytest.mark.parametrize("length", [{}, {"steps": 9}, {"tokens": 1e9}])
def test_a_session_too_short_for_one_step_is_told_what_one_takes(length):
    with pytest.raises(ConfigError) as caught:
        make_plan(GPT2, Wish(max_minutes=0.1, **length), CARD, FREE)
    told = str(caught.value)
    assert told.startswith("one step takes 8.53 minutes, the session has 6 seconds: not one fits:")
    assert "smaller --tokens-per-step" in told and "--steps" not in told and "\n" not in told
    minutes = float(re.search(r"--max-minutes ([\d.]+)", told)[1])
    assert make_plan(GPT2, Wish(max_minutes=minutes), CARD, FREE).steps == 1


def test_a_session_without_a_wished_length_is_filled():
    plan = make_plan(GPT2, Wish(max_minutes=600), CARD, FREE)
    assert plan.seconds <= 36_000 < plan.seconds + plan.step_seconds


def test_a_card_that_is_not_here_is_modelled_by_its_promised_peak():
    card = find_machine("t4")
    assert not card.here and card.dtype == torch.float16
    costs = assume(GPT2, card)
    rate = 1_024 / costs.seconds(Batch(1))
    assert not costs.measured
    assert rate * flops_per_token(GPT2) / 65e12 == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="unknown device 'T5': known names are T4"):
        find_machine("T5")


@pytest.mark.parametrize(
    ("printed", "row"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("nvidia h100 pcie", "H100 PCIe"),
        ("RTX 4090", "RTX 4090"),
    ],
)
def test_a_card_is_found_by_the_name_that_the_driver_prints(printed, row):
    assert find_machine(printed).name == row


def test_another_card_is_unknown_though_its_name_holds_one_of_the_table():
    with pytest.raises(ConfigError, match="unknown device 'NVIDIA GeForce RTX 3090 Ti'"):
        find_machine("NVIDIA GeForce RTX 3090 Ti")


def lines(output: str) -> list[str]:
    """What was printed, blank lines left out."""
    return [line for line in output.splitlines() if line.strip()]


def test_the_table_marks_a_model_as_modelled_and_ends_with_the_command(capsys):
    planning.plan_run("my.txt", "gpt2", {"dropout": 0.0}, "T4", Wish(processes=2))
    printed = lines(capsys.readouterr().out)
    assert "measured" not in "".join(printed)
    assert printed[-1].startswith(
        "torchrun --nproc_per_node 2 -m gptlib train my.txt --model gpt2 --dropout 0.0 "
    )
    assert any("assumed" in line for line in printed if "process" in line)


def test_here_the_plan_is_made_from_trial_steps_and_says_so(capsys, monkeypatch):
    asked: list[int] = []

    def trial(config: GPTConfig, largest: int) -> list[Probe]:
        asked.append(largest)
        kinds = [Batch(1), Batch(2), Batch(2, accumulation=2)]
        return [Probe(kind, kind.size * kind.accumulation, 10**9) for kind in kinds]

    monkeypatch.setattr(planning, "run_probe", trial)
    planning.plan_run("my.txt", "laptop", {}, None, Wish(batch_size=8, steps=3))
    printed = lines(capsys.readouterr().out)
    assert asked == [4]  # never the planned micro-batch itself
    assert any("measured" in line for line in printed if "process" in line)
    assert re.search(r"one step takes +\S+ +minutes +measured steps", "\n".join(printed))
    assert re.search(r"this run .* 3 steps$", "\n".join(printed), re.MULTILINE)
    takes = r"  takes +\S+ +minutes +measured steps; validation, checkpoints on top"
    assert re.search(takes, "\n".join(printed))
    assert "--steps 3 --batch-size 8" in printed[-1]
    planning.plan_run("my.txt", "laptop", {}, None, Wish(batch_size=8, steps=1))
    assert "1 step\n" in capsys.readouterr().out


def test_train_knows_every_option_of_the_proposed_command():
    options = ["--context-length", "256", "--vocab-size", "99", "--tokens", "1e7"]
    session = ["--device", "L4", "--max-minutes", "600", "--processes", "2"]
    shown = CliRunner().invoke(app, ["plan", "my.txt", *options, *session])
    assert shown.exit_code == 0, shown.output
    command = lines(shown.output)[-1]
    known = set(inspect.signature(train).parameters)
    assert {word[2:].replace("-", "_") for word in re.findall(r" (--\S+)", command)} <= known | {
        "nproc_per_node"
    }
    assert "--context-length 256" in command and "--max-minutes 600 " in command


def planned(*words: str) -> list[str]:
    """The lines that ``plan`` prints for a T4."""
    shown = CliRunner().invoke(app, ["plan", *words, "--device", "t4"], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    return lines(shown.output)


@pytest.mark.parametrize("text", ["my text.txt", "it's; $HOME.txt", "plain.txt"])
def test_the_command_reads_the_text_that_was_named_whatever_its_name(text):
    words = shlex.split(planned(text)[-1])
    assert words[:5] == ["python", "-m", "gptlib", "train", text]


def test_a_vocabulary_of_another_size_needs_its_tokenizer_in_the_command():
    for words in (["--vocab-size", "5000"], ["--model", "algerian"]):
        printed = planned("my.txt", *words)
        assert " --tokenizer FOLDER " in printed[-1]
    assert "10,000 tokens" in printed[-2] and "FOLDER" in printed[-2]
    for words in ([], ["--vocab-size", "50257"]):
        assert "--tokenizer" not in planned("my.txt", *words)[-1]


def test_a_prepared_folder_tells_its_vocabulary_and_how_often_it_is_read(tmp_path):
    folder = prepared_folder(tmp_path / "my data")
    n_tokens = sum(len(np.load(path)) for path in folder.glob("shards/train-*.npy"))
    length = ["--steps", "10", "--tokens-per-step", "2048", "--batch-size", "2"]
    printed = planned("--data", str(folder), *length)
    epochs = f"{10 * 2048 / n_tokens:.3g} epochs"
    assert printed[-2] == f"{folder} has {n_tokens:,} tokens to train on: this run is {epochs}."
    words = shlex.split(printed[-1])
    assert words[3:6] == ["train", "--data", str(folder)] and "--tokenizer" not in words
    size = count_parameters(GPTConfig.named("gpt2", vocab_size=300))["total"]
    assert any(f"{size / 1e6:,.1f}  million" in line for line in printed)


@pytest.mark.parametrize("words", [["my.txt"], ["--vocab-size", "300"]])
def test_a_text_or_a_vocabulary_beside_a_prepared_folder_is_refused(words):
    with pytest.raises(ConfigError, match="leave the text and --vocab-size out"):
        planned(*words, "--data", "folder")


def test_a_thousand_epochs_are_written_as_people_write_them(tmp_path):
    folder = prepared_folder(tmp_path / "data")
    printed = planned("--data", str(folder), "--tokens", "1e10")
    epochs = float(printed[-2].split()[-2].replace(",", ""))
    assert epochs > 1000 and f"{epochs:,.0f} epochs" in printed[-2]


def test_a_folder_that_was_never_prepared_is_named(tmp_path):
    (tmp_path / "texts").mkdir()
    for name in ("gone", "texts"):
        with pytest.raises(ShardError, match=f"{name} is no prepared folder, .* make one with"):
            planned("--data", str(tmp_path / name))


def test_a_short_run_validates_on_twenty_batches_and_a_long_one_as_foundation_does():
    short, long = (planned("my.txt", "--steps", steps)[-1] for steps in ("999", "1000"))
    assert " --settings fast --evaluate-batches 20 " in short
    assert " --settings foundation " in long and "evaluate" not in long


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.0063, "0.0063 seconds"), (23, "23 seconds"), (59.9, "59.9 seconds")),
        *((60, "1 minute"), (90, "1.5 minutes"), (3_599, "60 minutes"), (3_600, "1 hour")),
        *((3_600 * 5.256, "5.26 hours"), (3_600 * 12_345, "12,345 hours")),
    ],
)
def test_a_time_has_the_unit_in_which_it_is_easy_to_read(seconds, words):
    assert " ".join(duration(seconds)) == words


def test_numbers_are_written_out_and_one_is_singular():
    assert amount(7_912.4) == "7,912" and amount(65.0) == "65" and amount(0.03371) == "0.0337"
    assert counted(1, "step") == "1 step" and counted(4_748, "step") == "4,748 steps"
    table = "\n".join(planned("my.txt", "--processes", "1000", "--batch-size", "2"))
    assert "of 65,000 TFLOP/s" in table and not re.search(r"\de[+-]\d\d (TFLOP|hours)", table)


WHOLE = ("steps", "processes", "tokens-per-step", "batch-size")
REAL = ("tokens", "max-minutes", "memory-gb")


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option in WHOLE for value in ("0", "-2", "1" + "0" * 400)]
    + [(option, value) for option in REAL for value in ("0", "-2", "nan", "inf", "-inf", "1e300")],
)
def test_a_number_that_cannot_be_is_refused_in_one_line_before_anything_is_measured(
    option, value, monkeypatch
):
    monkeypatch.setattr(planning, "run_probe", None)
    shown = CliRunner().invoke(app, ["plan", "my.txt", f"--{option}", value])
    told = str(shown.exception)
    assert isinstance(shown.exception, ConfigError) and "\n" not in told and len(told) < 120
    assert told.startswith(f"--{option} is ") and "above 0" in told and "leave it out" in told


def test_the_largest_numbers_that_are_taken_can_be_planned():
    for option in (*WHOLE, *REAL):
        shown = CliRunner().invoke(app, ["plan", "--device", "t4", f"--{option}", str(10**15)])
        assert shown.exit_code == 0 or isinstance(shown.exception, ConfigError), option


def test_two_lengths_are_one_too_many():
    with pytest.raises(ConfigError, match="give one"):
        Wish(steps=5, tokens=1e6)


def test_trial_steps_double_the_micro_batch_and_end_with_accumulation():
    probes = probing.take_steps(TINY, largest=5, seconds=0)
    assert [probe.batch for probe in probes] == [Batch(2), Batch(4), Batch(4, accumulation=2)]
    assert all(probe.seconds > 0 for probe in probes)


def test_trial_steps_that_fail_say_so_in_one_line(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback …\nMemoryError: no room")
    monkeypatch.setattr(probing.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(OutOfMemory, match=r"failed \(MemoryError: no room\): plan a smaller"):
        probing.run_probe(TINY, 1)


def test_a_trial_in_a_process_of_its_own_measures_that_process():
    small, twice = probing.run_probe(TINY, 1, seconds=0)
    assert (small.batch, twice.batch) == (Batch(1), Batch(1, accumulation=2))
    if sys.platform != "win32":
        assert 50 * 2**20 < small.peak_memory <= twice.peak_memory
