"""What can go wrong in a step, as one line that names the step and the way out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gptlib.config import TrainingConfig
from gptlib.errors import GPTLibError, TrainingDiverged

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")  # CUDA's and Apple's words, the CPU's
PEER_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer")


@contextmanager
def named_step(
    step: int, config: TrainingConfig, context_length: int, saved_step: int
) -> Iterator[None]:
    """Within it, troubles of one step become gptlib's own errors.

    Args:
        step: its number.
        config: says what could be made smaller.
        context_length: T, for the numbers of the advice.
        saved_step: of the last checkpoint; 0 for none.

    Raises:
        TrainingDiverged, GPTLibError: with the step's number.
    """
    try:
        yield
    except TrainingDiverged as error:
        raise TrainingDiverged(f"step {step}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        words = str(error)
        kept = f"the checkpoint of step {saved_step} is intact" if saved_step else "none was saved"
        if isinstance(error, MemoryError) or any(sign in words for sign in OUT_OF_MEMORY):
            raise GPTLibError(
                f"step {step} ran out of memory with {config.batch_size} windows of "
                f"{context_length:,} tokens at a time: {smaller(config, context_length)}; {kept}"
            ) from error
        if torch.distributed.is_initialized() and any(sign in words for sign in PEER_LOST):
            raise GPTLibError(
                f"step {step}: another process has ended: run the same command again with "
                f"--resume; {kept}"
            ) from error
        raise


def smaller(config: TrainingConfig, context_length: int) -> str:
    """Settings that need about half the memory for activations."""
    if config.batch_size > 1:
        return (
            f"--batch-size {-(-config.batch_size // 2)} --accumulation {config.accumulation * 2} "
            f"takes steps of the same size with half of them at a time"
        )
    return (
        f"a batch cannot be smaller, so halve the context (--context-length "
        f"{max(1, context_length // 2)}) or take a smaller model (--model)"
    )
