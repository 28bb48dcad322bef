"""Choose one token from its logits: temperature, top-k, top-p, and a penalty on repeats.

Sources: top-k from Fan et al. 2018; top-p from Holtzman et al. 2020, section 3.1; the penalty
from Keskar et al. 2019 (CTRL), section 4.1.
"""

import torch
from torch import Tensor

from gptlib.errors import ConfigError


def sample_next(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one token id for each row.

    Args:
        logits: (B, V), left unchanged.
        temperature: divides the logits; 0 takes the likeliest token (greedy).
        top_k: keep only the k likeliest tokens; more than V keeps all.
        top_p: keep the fewest likeliest tokens whose probabilities reach p, at least one.
        generator: the random stream; by default PyTorch's global one.

    Returns:
        (B,) token ids.

    Raises:
        ConfigError: a setting is out of its range.
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)  # (B,)
    logits = logits.float() / temperature  # (B, V)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    probabilities = logits.softmax(dim=-1)  # (B, V)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)  # (B,)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set all but each row's k largest logits (B, V) to −∞."""
    kth = logits.topk(min(k, logits.shape[-1])).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < kth, float("-inf"))  # (B, V)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep each row's likeliest tokens up to and with the one that reaches p; (B, V)."""
    ordered, order = logits.sort(dim=-1, descending=True)  # (B, V)
    probabilities = ordered.softmax(dim=-1)  # (B, V)
    before = probabilities.cumsum(dim=-1) - probabilities  # what stands before each token
    ordered = ordered.masked_fill(before >= p, float("-inf"))  # the first has 0 before it
    return torch.empty_like(logits).scatter(-1, order, ordered)  # (B, V)


def penalise_repeats(logits: Tensor, ids: Tensor, penalty: float) -> Tensor:
    """Make the tokens that a text already holds less likely.

    Args:
        logits: (B, V), left unchanged.
        ids: (B, T), the texts so far, their prompts included.
        penalty: divides what is above 0 and multiplies what is below; 1 changes nothing.

    Returns:
        (B, V). However often a token stands there, it is penalised once.
    """
    if penalty == 1:
        return logits
    scores = logits.gather(-1, ids)  # (B, T)
    scores = torch.where(scores > 0, scores / penalty, scores * penalty)
    return logits.scatter(-1, ids, scores)  # (B, V)


def check_sampling(
    temperature: float, top_k: int | None, top_p: float | None, repetition_penalty: float = 1.0
) -> None:
    """Raise :class:`ConfigError` for a sampling setting outside its range."""
    # nearer to 0 the divided logits would overflow: 1e-4 is as good as greedy already
    if temperature != 0 and not 1e-4 <= temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature}: use 0 (greedy), or 0.0001 and above")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}: keep at least 1 token, or leave it out")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"top_p is {top_p}: it must lie in (0, 1], or be left out")
    if not 0 < repetition_penalty < float("inf"):
        raise ConfigError(
            f"repetition_penalty is {repetition_penalty}: use 1 (none) or more, such as 1.2"
        )
