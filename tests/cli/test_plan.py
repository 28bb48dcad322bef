"""Claims on the planner: exact where shapes decide, honest where something is assumed."""

import re
import shlex

import pytest
import torch

from gptcourse import paths
from gptlib import planning
from gptlib.commands.plan import amount, duration
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.options import build_parser
from gptlib.planning import GIB, Machine, activation_bytes, find_machine, make_plan, memory_parts
from gptlib.training.flops import flops_per_token
from gptlib.training.optimizer import make_optimizer, moments
from gptlib.training.step import training_step

TINY = GPTConfig(vocab_size=53, context_length=24, n_layers=2, n_heads=4, width=32, dropout=0.0)
GPT2 = GPTConfig.named("gpt2")
CARD = Machine("card", "cuda", torch.float16, 14 * GIB, 65e12, "promised")
CPU = Machine("cpu", "cpu", torch.float32, None, 1e11, "measured")


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
        note(model.hidden_states(ids))  # handed on to the loss
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
    parts = memory_parts(TINY, 2, CPU)
    tensors = list(model.parameters())
    assert parts["parameters"] == sum(tensor.nbytes for tensor in tensors)
    assert parts["gradients"] == sum(t.grad.nbytes for t in tensors if t.grad is not None)
    remembered = moments(optimizer)
    assert parts["AdamW's moments"] == sum(
        tensor.nbytes for name, tensor in remembered.items() if not name.endswith(".step")
    )


def test_only_activations_grow_with_the_micro_batch():
    two, eight = (memory_parts(GPT2, size, CPU) for size in (2, 8))
    assert eight["activations"] == pytest.approx(4 * two["activations"], rel=1e-5)
    assert {**eight, "activations": 0} == {**two, "activations": 0}


def test_a_short_format_halves_what_matrix_products_read():
    whole, half = (activation_bytes(TINY, 2, d) for d in (torch.float32, torch.bfloat16))
    assert 0.5 < half / whole < 0.65  # LayerNorm's inputs stay in float32


def test_the_step_is_shared_out_and_the_run_counted():
    plan = make_plan(GPT2, CARD, tokens=2**24, tokens_per_step=2**18, batch_size=8)
    assert (plan.batch_size, plan.accumulation) == (8, 32)
    assert (plan.tokens_per_step, plan.steps) == (2**18, 64)
    assert sum(plan.memory.values()) < CARD.memory


def test_a_step_takes_its_arithmetic_over_the_share_of_the_peak():
    used = make_plan(GPT2, CARD, tokens_per_step=2**18)
    rate = 2**18 / used.seconds_per_step
    assert rate * flops_per_token(GPT2) / 65e12 == pytest.approx(0.3)
    half = make_plan(GPT2, CARD, tokens_per_step=2**18, utilization=0.15)
    assert half.seconds_per_step == pytest.approx(2 * used.seconds_per_step)
    assert 2**19 * flops_per_token(GPT2) / 1e11 / 0.7 == pytest.approx(
        make_plan(GPT2, CPU).seconds_per_step
    )


def test_two_processes_share_the_micro_batches_and_are_not_quite_twice_as_fast():
    one, two = (make_plan(GPT2, CARD, processes=n) for n in (1, 2))
    assert one.accumulation == two.accumulation and one.batch_size == two.batch_size
    assert one.tokens_per_step == two.tokens_per_step == 2**19  # GPT-3's half million
    assert 1.5 < one.seconds_per_step / two.seconds_per_step < 2


def test_without_a_wish_the_run_is_compute_optimal():
    plan = make_plan(GPT2, CARD)
    tokens = plan.steps * plan.tokens_per_step
    assert 0 <= tokens - 20 * 124_439_808 < plan.tokens_per_step


def test_the_chosen_micro_batch_is_the_largest_that_fits():
    plan = make_plan(GPT2, CARD)
    assert make_plan(GPT2, CARD, batch_size=plan.batch_size).memory == plan.memory
    with pytest.raises(ConfigError):
        make_plan(GPT2, CARD, batch_size=2 * plan.batch_size)


def test_what_does_not_fit_is_refused_with_value_limit_and_way_out():
    told = r"64 × 1,024 tokens needs [\d.]+ GiB, card has 14.0 GiB .* smaller --batch-size"
    with pytest.raises(ConfigError, match=told) as caught:
        make_plan(GPT2, CARD, batch_size=64)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("printed", "row"),
    [
        ("t4", "T4"),
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("nvidia h100 pcie", "H100 PCIe"),
        ("RTX 4090", "RTX 4090"),
    ],
)
def test_a_card_is_found_by_the_name_that_the_driver_prints(printed, row):
    assert find_machine(printed).name == row


@pytest.mark.parametrize("name", ["T5", "NVIDIA GeForce RTX 3090 Ti"])  # another card than 3090
def test_an_unknown_card_is_named_beside_the_known_ones(name):
    with pytest.raises(ConfigError, match=f"unknown device '{name}': known names are T4"):
        find_machine(name)


@pytest.fixture
def planned(typed):
    """Return the lines that ``plan`` prints, blank ones left out."""

    def call(*words):
        code, out, err = typed("plan", *words)
        assert code == 0, err
        return [line for line in out.splitlines() if line.strip()]

    return call


@pytest.fixture
def on_t4(planned):
    return lambda *words: planned(*words, "--device", "t4")


def test_the_table_says_what_is_assumed_and_ends_with_the_command(on_t4):
    printed = on_t4("my.txt", "--dropout", "0.0", "--processes", "2")
    assert printed[0] == "gpt2 with 1,024 tokens of context on 2 × T4, float16"
    assert "65 TFLOP/s (NVIDIA's figure) and a utilization of 0.3 that we assume" in printed[1]
    assert any("(assumed)" in line for line in printed if "process" in line)
    assert printed[-1].startswith(
        "torchrun --nproc_per_node 2 -m gptlib train my.txt --model gpt2 --dropout 0.0 "
    )
    assert "utilization of 0.5 as given" in on_t4("--utilization", "0.5")[1]


def test_this_machine_is_planned_by_what_a_matrix_product_reaches(planned, monkeypatch):
    monkeypatch.setattr(planning, "peak_flops", lambda *_: (1e11, "measured by a matrix product"))
    printed = planned("--model", "laptop", "--steps", "3", "--batch-size", "8")
    assert "0.1 TFLOP/s (measured by a matrix product) and a utilization of 0.7" in printed[1]
    speed = next(line.split()[1] for line in printed if line.startswith("speed"))
    expected = 0.7e11 / flops_per_token(GPTConfig.named("laptop"))
    assert speed == f"{expected:,.0f}"
    assert "--steps 3 --batch-size 8" in printed[-1]


def test_processes_need_a_card_each(typed, refused):
    words = "2 processes would share one cpu: leave --processes out"
    refused(typed("plan", "--processes", "2"), words)


def test_the_run_book_quotes_what_plan_prints(planned):
    words = " ".join((paths.REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    book = ["TEXT", "--model", "gpt2", "--device", "T4", "--processes", "2"]
    assert f"python -m gptlib plan {' '.join(book)}" in words
    table = {line[:17].strip(): line[17:].split() for line in planned(*book)[2:-2]}
    used, limit = float(table["memory"][0]), float(table["memory"][2])
    assert f"{used:.1f} of {limit:.1f} GiB on each card" in words
    size, rate = table["micro-batch"][0], round(float(table["speed"][0].replace(",", "")), -3)
    assert (
        f"{size} windows of 1,024 tokens at a time, {duration_of(planned, book)[0][0]} s a step"
        in words
    )
    assert f"{rate:,.0f} tokens a second" in words
    minutes, hours = (
        duration_of(planned, [*book, "--tokens", "1e8"])[1],
        duration_of(planned, book)[1],
    )
    assert minutes[1] == "minutes" and hours[1] == "hours"
    assert f"about {round(float(minutes[0]), -1):.0f} minutes" in words
    assert f"(20 a parameter) {float(hours[0]):.0f} hours" in words
    command = words[words.index("torchrun") :]
    for option in re.findall(
        r"--(?:settings|steps|batch-size|accumulation) \S+", planned(*book)[-1]
    ):
        assert option in command


def duration_of(planned, words: list[str]) -> list[list[str]]:
    """Of a step and of the run, as a number and a unit."""
    return [line.split()[1:] for line in planned(*words) if line.startswith("  takes")]


def test_train_knows_every_option_of_the_proposed_command(planned):
    options = ["--context-length", "256", "--vocab-size", "99", "--tokens", "1e7"]
    command = planned("my.txt", *options, "--device", "L4", "--processes", "2")[-1]
    known = next(a for a in build_parser()._actions if a.dest == "command").choices["train"]
    options = {*known._option_string_actions, "--nproc_per_node"}
    assert set(re.findall(r" (--\S+)", command)) <= options
    assert "--context-length 256" in command


@pytest.mark.parametrize("text", ["my text.txt", "it's; $HOME.txt", "plain.txt"])
def test_the_command_reads_the_text_that_was_named_whatever_its_name(on_t4, text):
    words = shlex.split(on_t4(text)[-1])
    assert words[:5] == ["python", "-m", "gptlib", "train", text]


def test_a_vocabulary_of_another_size_needs_its_tokenizer_in_the_command(on_t4):
    for words in (["--vocab-size", "5000"], ["--model", "algerian"]):
        assert " --tokenizer FOLDER " in on_t4("my.txt", *words)[-1]
    for words in ([], ["--vocab-size", "50257"]):
        assert "--tokenizer" not in on_t4("my.txt", *words)[-1]


def test_a_short_run_validates_on_twenty_batches_and_a_long_one_as_foundation_does(on_t4):
    short, long = (on_t4("my.txt", "--steps", steps)[-1] for steps in ("999", "1000"))
    assert " --settings fast --evaluate-batches 20 " in short
    assert " --settings foundation " in long and "evaluate" not in long


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0.0063, "0.0063 seconds"), (23, "23 seconds"), (59.9, "59.9 seconds")),
        *((90, "1.5 minutes"), (3_599, "60 minutes")),
        *((3_600 * 5.256, "5.26 hours"), (3_600 * 12_345, "12,345 hours")),
    ],
)
def test_a_time_has_the_unit_in_which_it_is_easy_to_read(seconds, words):
    assert " ".join(duration(seconds)) == words


def test_numbers_are_written_out():
    assert amount(7_912.4) == "7,912" and amount(65.0) == "65" and amount(0.03371) == "0.0337"


WHOLE = ("steps", "processes", "tokens-per-step", "batch-size")


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option in WHOLE for value in ("0", "-2", "1" + "0" * 400)]
    + [("tokens", value) for value in ("0", "-2", "nan", "inf", "-inf", "1e300")]
    + [("utilization", value) for value in ("0", "-2", "nan", "1.1")],
)
def test_a_number_that_cannot_be_is_refused_in_one_line(typed, refused, option, value):
    answer = typed("plan", "my.txt", "--device", "t4", f"--{option}={value}")
    refused(answer, f"error: --{option} is ")
    assert "above 0" in answer[2] and len(answer[2]) < 130


def test_the_largest_numbers_that_are_taken_can_be_planned(typed):
    for option in (*WHOLE, "tokens"):
        code, _, err = typed("plan", "--device", "t4", f"--{option}", 10**15)
        assert code == 0 or (code == 2 and err.count("\n") == 1), option


def test_two_lengths_are_one_too_many():
    with pytest.raises(ConfigError, match="give one"):
        make_plan(GPT2, CARD, steps=5, tokens=1e6)
