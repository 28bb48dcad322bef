"""Several processes that train one model, as ``torchrun`` starts them; alone, nothing happens here.

Every process holds the whole model and takes its share of a step's micro-batches. Averaging the
gradients makes all of them take the same step, so that they stay equal. Without ``torchrun``
each function is what it would be for one process.
Source: Li et al. 2020 (PyTorch distributed), section 2.2; theirs also averages during backward.
"""

import datetime

import torch
import torch.distributed as dist
from torch import Tensor, nn

PATIENCE = datetime.timedelta(minutes=30)  # the first process may be validating meanwhile


def begin() -> None:
    """Join the other processes of ``torchrun``, each on its own GPU where there are GPUs."""
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)


def end() -> None:
    """Leave the group, all together; what the processes trained stays with each of them."""
    if dist.is_initialized():
        wait()  # gloo's threads may abort a process that ends while another still works
        dist.destroy_process_group()


def rank() -> int:
    """This process's number; the first one, 0, alone writes and speaks."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Go on only when every process has come this far."""
    if dist.is_initialized():
        dist.barrier()


def mean(value: Tensor) -> Tensor:
    """The mean of every process's tensor, in place."""
    if dist.is_initialized():
        dist.all_reduce(value)
        value /= count()
    return value


def average_gradients(model: nn.Module) -> None:
    """Give every process the gradient of all micro-batches together."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            mean(parameter.grad)


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether a flag is raised in any process: all of them stop, or none."""
    if not dist.is_initialized():
        return flag
    return mean(torch.tensor(float(flag), device=device)).item() > 0
