"""How likely a text is, token by token."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gptlib.errors import PromptError
from gptlib.generation.loop import evaluating, visible
from gptlib.model import GPT


@torch.no_grad()
def log_probabilities(model: GPT, ids: Tensor, first: int = 1) -> Tensor:
    """The natural logarithm of each token's probability after all that stands before it.

    A text longer than the context is read as `generate` reads it, in windows that move by half
    a context (:func:`visible`): so these are also the probabilities of what `generate` has
    written, before temperature, top-k, top-p and penalty shaped them.

    Args:
        model: any GPT but a :class:`CachedGPT`, which would read only what is new.
        ids: (B, T), whole texts.
        first: the first position that is scored; the one at 0 has nothing before it.

    Returns:
        (B, T − first), float32 or wider, at or below 0.

    Raises:
        PromptError: there is nothing to score.
        TokenOutOfRange: an id is not in the vocabulary.
    """
    T, context_length = ids.shape[1], model.config.context_length
    if not 1 <= first < T:
        raise PromptError(f"{T} tokens, scored from {first}: give a text of at least two tokens")
    scores = []
    with evaluating(model):
        while first < T:
            start = first - visible(ids[:, :first], context_length).shape[1]
            end = min(T, start + context_length + 1)  # the next window scores from here
            seen = model.features(ids[:, start : end - 1].to(model.device))  # (B, t, C)
            logits = model.logits(seen[:, first - end :])  # (B, n, V), for the n that are new
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            targets = ids[:, first:end].to(model.device)  # (B, n)
            scores.append(-F.cross_entropy(logits.transpose(1, 2), targets, reduction="none"))
            first = end
    return torch.cat(scores, dim=1)  # (B, T − first)
