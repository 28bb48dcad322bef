"""Claims on the record of memory."""

import subprocess
import sys

import pytest
import torch

from gptlib.training.flops import peak_memory

CPU = torch.device("cpu")
MEGABYTE = 2**20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such record")


def printed(program: str) -> list[int]:
    """The numbers that a program prints in a process of its own."""
    lines = "from torch import device, ones\nfrom gptlib.training.flops import peak_memory\n"
    command = [sys.executable, "-c", lines + program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_the_peak_rises_by_what_is_taken_and_stays_when_it_is_given_back():
    before, risen, after = printed(
        "print(peak_memory(device('cpu'))); held = ones(100 * 2**18)\n"
        "print(peak_memory(device('cpu'))); del held; print(peak_memory(device('cpu')))"
    )
    assert 95 < (risen - before) / MEGABYTE < 110  # 100 MiB of ones
    assert 95 < (after - before) / MEGABYTE < 110


def test_a_new_process_does_not_begin_with_the_peak_of_the_one_that_started_it():
    held = torch.ones(500 * 2**18)  # 500 MiB here, and only here
    (found,) = printed("print(peak_memory(device('cpu')))")
    assert 50 * MEGABYTE < found < held.nbytes < (peak_memory(CPU) or 0)


def test_a_cuda_device_tells_of_its_tensors_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    assert peak_memory(torch.device("cuda:0")) == 123
