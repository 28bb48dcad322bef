"""The machine decides device and number format; a variable can decide instead."""

from types import SimpleNamespace

import pytest
import torch

import gptlib
from gptlib import environment
from gptlib.errors import ConfigError

GIB = 2**30


@pytest.fixture(autouse=True)
def nothing_forced(monkeypatch):
    for name in ("GPTLIB_DEVICE", "GPTLIB_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    pretend(monkeypatch)


def pretend(monkeypatch, capability=None, memory=16 * GIB, bf16=False, apple=False):
    """Let torch report one GPU with this capability, an Apple GPU, or none."""

    def is_bf16_supported(including_emulation=True):
        return bf16 or including_emulation  # as on a T4, which emulates it

    cuda = SimpleNamespace(
        is_available=lambda: capability is not None,
        get_device_capability=lambda: capability,
        get_device_name=lambda: "Some GPU",
        current_device=lambda: 0,
        get_device_properties=lambda device: SimpleNamespace(total_memory=memory),
        is_bf16_supported=is_bf16_supported,
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


def test_a_machine_without_gpu_gets_float32_and_the_laptop_profile():
    profile = environment.setup()
    assert (profile.name, profile.device.type, profile.dtype) == ("laptop", "cpu", torch.float32)


def test_a_t4_gets_float16_because_it_only_emulates_bfloat16(monkeypatch):
    pretend(monkeypatch, capability=(7, 5), memory=15 * GIB - 1)
    profile = environment.setup()
    assert (profile.name, profile.device.type, profile.dtype) == ("gpu", "cuda", torch.float16)
    assert "no bfloat16" in profile.reason


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0)])  # A100, L4, H100
def test_newer_gpus_get_bfloat16(monkeypatch, capability):
    pretend(monkeypatch, capability=capability, bf16=True)
    assert environment.setup().dtype == torch.bfloat16


def test_a_small_gpu_computes_but_keeps_the_small_models(monkeypatch):
    pretend(monkeypatch, capability=(8, 6), memory=4 * GIB, bf16=True)
    profile = environment.setup()
    assert (profile.name, profile.device.type) == ("laptop", "cuda")


def test_an_apple_gpu_gets_float32(monkeypatch):
    pretend(monkeypatch, apple=True)
    profile = environment.setup()
    assert (profile.name, profile.device.type, profile.dtype) == ("laptop", "mps", torch.float32)


@pytest.mark.parametrize("capability", [(6, 0), (6, 1), (5, 2)])  # P100, GTX 10, GTX 9
def test_old_gpus_are_refused_with_advice_on_one_line(monkeypatch, capability):
    pretend(monkeypatch, capability=capability)
    with pytest.raises(ConfigError) as refusal:
        environment.setup()
    message = str(refusal.value)
    assert "T4" in message and "GPTLIB_DEVICE=cpu" in message and "\n" not in message
    assert ".".join(map(str, capability)) in message


def test_an_old_gpu_is_no_obstacle_to_the_cpu(monkeypatch):
    pretend(monkeypatch, capability=(6, 0))
    monkeypatch.setenv("GPTLIB_DEVICE", "cpu")
    assert environment.setup().device.type == "cpu"


def test_variables_force_device_and_profile(monkeypatch):
    pretend(monkeypatch, capability=(8, 0), bf16=True)
    monkeypatch.setenv("GPTLIB_PROFILE", "laptop")
    monkeypatch.setenv("GPTLIB_DEVICE", "cpu")
    profile = environment.setup()
    assert (profile.name, profile.device.type, profile.dtype) == ("laptop", "cpu", torch.float32)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("GPTLIB_DEVICE", "tpu", ConfigError),
        ("GPTLIB_DEVICE", "cuda", ConfigError),
        ("GPTLIB_DEVICE", "mps", ConfigError),
        ("GPTLIB_PROFILE", "desktop", ConfigError),
    ],
)
def test_a_wish_that_cannot_be_met_is_a_named_error(monkeypatch, name, value, error):
    monkeypatch.setenv(name, value)
    with pytest.raises(error, match=f"{name}={value}"):
        environment.setup()


def test_set_up_prints_the_same_lines_everywhere_under_the_stored_environment(monkeypatch, capsys):
    for name, value in {"PROFILE": "laptop", "DEVICE": "cpu", "CORPORA": "bundled"}.items():
        monkeypatch.setenv(f"GPTLIB_{name}", value)
    gptlib.setup()
    assert capsys.readouterr().out == (
        "profile  laptop: small models that train here in seconds or minutes\n"
        "device   cpu, float32 (GPTLIB_DEVICE=cpu)\n"
        "texts    the samples that come with the course (GPTLIB_CORPORA=bundled)\n"
    )


def test_set_up_draws_no_random_number():
    before = torch.get_rng_state()
    environment.setup()
    assert torch.equal(torch.get_rng_state(), before)


def test_pick_returns_the_value_of_the_profile(monkeypatch):
    for name, expected in (("laptop", 1), ("gpu", 2)):
        monkeypatch.setenv("GPTLIB_PROFILE", name)
        assert environment.setup().pick(laptop=1, gpu=2) == expected


def test_a_new_run_never_meets_an_old_one(monkeypatch, tmp_path):
    monkeypatch.setenv("GPTLIB_RUNS", str(tmp_path))
    profile = environment.setup()
    names = []
    for _ in range(3):
        profile.new_run("story").mkdir()
        names = sorted(folder.name for folder in tmp_path.iterdir())
    assert names == ["story", "story-2", "story-3"]
