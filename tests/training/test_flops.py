"""Claims on the arithmetic of a token, on utilization, and on the record of memory."""

import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gptlib.config import GPTConfig
from gptlib.model import GPT
from gptlib.training import flops
from gptlib.training.flops import (
    GPUS,
    find_gpu,
    flops_per_token,
    forward_flops,
    peak_flops,
    peak_memory,
    throughput,
)

GPT2 = GPTConfig.named("gpt2")
SHAPES = [
    GPTConfig(vocab_size=101, context_length=48, n_layers=2, n_heads=4, width=32, dropout=0),
    GPTConfig(vocab_size=64, context_length=32, n_layers=3, n_heads=2, width=24, dropout=0),
]


def counted(config: GPTConfig, T: int, backward: bool) -> int:
    """FLOPs of one window as PyTorch counts them, every product in sight."""
    model = GPT(config)
    ids = torch.zeros(1, T, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model(ids).sum()
        if backward:
            loss.backward()
    return counter.get_total_flops()


def test_gpt2_costs_the_figure_of_the_palm_formula_worked_by_hand():
    # 6 × 123,653,376 parameters without positions + 12 × 12 layers × 768 × 1,024
    assert flops_per_token(GPT2, 1_024) == 741_920_256 + 113_246_208
    assert flops_per_token(GPT2) == flops_per_token(GPT2, 1_024)
    assert round(flops_per_token(GPT2) / 1e6, 1) == 855.2


@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("T", [16, 32])
def test_forward_and_backward_agree_with_torchs_counter_to_the_last_flop(config, T):
    forward = sum(forward_flops(config, T).values()) * T
    assert counted(config, T, backward=False) == forward
    assert counted(config, T, backward=True) == 3 * forward


def test_the_formula_exceeds_the_matrix_products_only_by_biases_and_layer_norms():
    products = 3 * sum(forward_flops(GPT2).values())
    assert 1 < flops_per_token(GPT2) / products < 1.001


@pytest.mark.parametrize(
    ("T", "share"), [(128, 0.019), (1_024, 0.133), (4_096, 0.379)], ids=lambda value: str(value)
)
def test_the_share_of_attention_that_grows_with_the_window(T, share):
    parts = forward_flops(GPT2, T)
    assert parts["attention scores"] / sum(parts.values()) == pytest.approx(share, abs=5e-4)


def test_a_block_costs_24_c_squared_and_4_t_c():
    parts = forward_flops(GPT2, 1_024)
    blocks = sum(parts.values()) - parts["head"]
    assert blocks == 12 * (24 * 768**2 + 4 * 1_024 * 768)
    assert parts["attention scores"] / blocks == pytest.approx(0.182, abs=5e-4)
    assert parts["head"] / sum(parts.values()) == pytest.approx(0.271, abs=5e-4)


def test_utilization_of_a_log_worked_by_hand():
    rate, utilization = throughput(2_048, 0.39605, 614.1e6, 5.2e12)
    assert round(rate) == 5_171
    assert round(utilization, 2) == 0.61


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Tesla T4", "T4"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA L4", "L4"),
        ("Tesla V100-SXM2-16GB", "V100 SXM2"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ],
)
def test_a_gpu_is_known_by_the_words_of_its_name(name, row):
    gpu = find_gpu(name)
    assert gpu is not None and gpu.name == row


@pytest.mark.parametrize(
    "name",
    [
        *("", "NVIDIA L40S", "NVIDIA A10", "Tesla P100-PCIE-16GB", "NVIDIA GeForce RTX 3090 Ti"),
        *("NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"),
    ],
)
def test_another_card_is_not_taken_for_one_of_the_table(name):
    assert find_gpu(name) is None


def test_every_card_of_the_table_finds_itself_and_multiplies_faster_in_half_precision():
    for gpu in GPUS:
        assert find_gpu(gpu.name) is gpu
        half, single = gpu.peak_flops(torch.float16), gpu.peak_flops(torch.float32)
        assert half and single and 1e12 < single < half < 1e15


def test_a_known_gpu_takes_its_makers_figure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    peak_flops.cache_clear()
    assert peak_flops(torch.device("cuda:0"), torch.float16) == (65e12, "NVIDIA's figure for T4")


def test_a_format_that_a_gpu_only_emulates_is_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(flops, "measured_flops", lambda device, dtype: 1.0)
    peak_flops.cache_clear()
    found = peak_flops(torch.device("cuda:0"), torch.bfloat16)
    assert found == (1.0, "measured by a matrix product")


def test_measuring_this_machine_draws_no_random_number_and_happens_once(monkeypatch):
    peak_flops.cache_clear()
    before = torch.get_rng_state()
    found, source = peak_flops(torch.device("cpu"), torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert found > 1e8 and source == "measured by a matrix product"
    monkeypatch.setattr(flops, "measured_flops", lambda device, dtype: 0.0)
    assert peak_flops(torch.device("cpu"), torch.float32)[0] == found


# Memory

MEGABYTE = 2**20


PEAK = """
from torch import device, ones
from gptlib.training import peak_memory
peak = lambda: peak_memory(device('cpu'))
"""


def printed(program: str) -> list[int]:
    """The numbers that a program prints in a process of its own; `peak()` is its record."""
    command = [sys.executable, "-c", PEAK + program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such record")
def test_the_peak_rises_by_what_is_taken_and_stays_when_it_is_given_back():
    before, risen, after = printed(
        "print(peak()); held = ones(100 * 2**18); print(peak()); del held; print(peak())"
    )
    assert 95 < (risen - before) / MEGABYTE < 110  # 100 MiB of ones
    assert 95 < (after - before) / MEGABYTE < 110


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such record")
def test_a_new_process_does_not_begin_with_the_peak_of_the_one_that_started_it():
    child = "import subprocess, sys; held = ones({} * 2**18); print(peak(), flush=True)\n"
    child += f"subprocess.run([sys.executable, '-c', {PEAK + 'print(peak())'!r}])"
    _, alone = printed(child.format(0))  # what importing torch takes, whatever its build
    parent, beside = printed(child.format(500))  # 500 MiB in the parent, and only there
    assert parent > 500 * MEGABYTE
    assert beside == pytest.approx(alone, abs=100 * MEGABYTE)


def test_a_cuda_device_tells_of_its_tensors_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    assert peak_memory(torch.device("cuda:0")) == 123
