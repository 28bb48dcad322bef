"""Several processes that train one model, as ``torchrun`` starts them; alone, nothing happens here.

Every process holds the whole model and takes its share of a step's micro-batches. PyTorch's
`DistributedDataParallel` averages their gradients while the last backward pass still runs, so all
take the same step. Two processes with one micro-batch each do what one process does that
accumulates two: 20 steps of a small model on a CPU ended with the same bits, and the tests allow
1e-6 nats. With more processes the order of the sums differs, and so do the last bits.
Source: Li et al. 2020 (PyTorch distributed), section 3.2.
"""

import datetime
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gptlib.errors import ConfigError
from gptlib.model import GPT

PATIENCE = datetime.timedelta(minutes=30)  # the first process may be validating meanwhile


def setup(device_type: str = "cpu") -> None:
    """Join the other processes of ``torchrun``, each on its own GPU where `device_type` is cuda."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        return
    if on_gpu := device_type == "cuda":
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)


def cleanup() -> None:
    """Leave the group, all together; what the processes trained stays with each of them."""
    if dist.is_initialized():
        dist.barrier()  # gloo's threads may abort a process that ends while another still works
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; the first one, 0, alone writes and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Go on only when every process has come this far."""
    if dist.is_initialized():
        dist.barrier()


def check_agreement(facts: dict[str, object]) -> None:
    """Refuse to begin where processes would train different things; each one says the same line.

    Raises:
        ConfigError: names the first fact in which a process differs from the first one.
    """
    if world_size() == 1:
        return
    everyone: list[dict[str, object]] = [{}] * world_size()
    dist.all_gather_object(everyone, facts)
    for name, value in everyone[0].items():
        for number, others in enumerate(everyone):
            if others[name] != value:
                raise ConfigError(
                    f"{name} is {value} in process 0 and {others[name]} in process {number}: start "
                    f"all with the same command, text, weights and copy of the run's folder"
                )


def all_reduce_mean(value: Tensor) -> Tensor:
    """The mean of every process's tensor, in place."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= world_size()
    return value


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether a flag is raised in any process: all of them stop, or none."""
    if world_size() == 1:
        return flag
    return all_reduce_mean(torch.tensor(float(flag), device=device)).item() > 0


def wrap_model(model: nn.Module) -> nn.Module:
    """The model for the forward pass of training: it averages gradients over the processes."""
    return DistributedDataParallel(model) if dist.is_initialized() else model


def unwrap_model(model: nn.Module) -> GPT:
    """The model inside the wrappers of DistributedDataParallel and ``torch.compile``."""
    model = getattr(model, "module", model)
    return cast(GPT, getattr(model, "_orig_mod", model))


def no_sync(model: nn.Module, unless: bool) -> AbstractContextManager[None]:
    """Within it gradients add up in this process alone, `unless` they are those of the step."""
    if isinstance(model, DistributedDataParallel) and not unless:
        return model.no_sync()
    return nullcontext()
