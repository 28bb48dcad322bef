"""What a run is, and what each of its steps costs: the figures in its metrics."""

import platform

import torch

import gptlib
from gptlib.config import TrainingConfig
from gptlib.data.corpora import Corpus
from gptlib.data.prepared import Prepared
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.distributed import world_size
from gptlib.training.flops import flops_per_token, peak_flops, throughput
from gptlib.training.memory import peak_memory
from gptlib.training.metrics import Row
from gptlib.training.step import Precision


def about_run(
    model: GPT,
    config: TrainingConfig,
    precision: Precision,
    context_length: int,
    corpus: Corpus | Prepared | None,
    tokenizer: Tokenizer | None,
) -> Row:
    """The first line of the metrics: what the curves cannot be read without.

    Args:
        context_length: T, tokens in one window; it may be less than the model's.
        corpus, tokenizer: named where they are known.
    """
    peak, source = peak_flops(model.device, precision.dtype)
    return {
        "model": model.config.to_dict(),
        "parameters": model.n_parameters(),
        "training": config.to_dict(),
        "device": device_name(model.device),
        "dtype": str(precision.dtype).removeprefix("torch."),
        "corpus": corpus and {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "tokenizer": tokenizer and tokenizer.name,
        "flops_per_token": flops_per_token(model.config, context_length),
        "peak_flops": peak * world_size(),
        "peak_flops_source": source,
        "environment": {  # with another the last bits of a result may differ
            "gptlib": gptlib.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "device": device_name(model.device),
            "dtype": str(precision.dtype).removeprefix("torch."),
            "processes": world_size(),
        },
    }


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def step_cost(about: Row, tokens: int, seconds: float, device: torch.device) -> Row:
    """What one step took, for its line in the metrics.

    Args:
        about: the run's first line.
        tokens: in the step, over all processes.
        seconds: from its first window to the new parameters.
        device: where the model trains.
    """
    rate, utilisation = throughput(tokens, seconds, about["flops_per_token"], about["peak_flops"])
    return {
        "seconds": seconds,
        "tokens_per_second": rate,
        "utilisation": utilisation,
        "peak_memory": peak_memory(device),  # bytes
    }
