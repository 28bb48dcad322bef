"""From logits to text. Read ``sampling`` and ``loop`` first.

sampling   choose one token from its logits
loop       choose a token, append it, repeat
cache      the same, reading every token once
layout     the same, reading the weights faster
texts      text in, text out, whole or piece by piece
scoring    how likely a text is
"""

from gptlib.generation.cache import CachedGPT, attend_cached
from gptlib.generation.layout import DTYPES, lay_out
from gptlib.generation.loop import evaluating, generate, generate_ids, visible
from gptlib.generation.sampling import (
    check_sampling,
    keep_top_k,
    keep_top_p,
    penalise_repeats,
    sample_next,
)
from gptlib.generation.scoring import log_probabilities
from gptlib.generation.texts import generate_text, stream_text

__all__ = [
    "DTYPES",
    "CachedGPT",
    "attend_cached",
    "check_sampling",
    "evaluating",
    "generate",
    "generate_ids",
    "generate_text",
    "keep_top_k",
    "keep_top_p",
    "lay_out",
    "log_probabilities",
    "penalise_repeats",
    "sample_next",
    "stream_text",
    "visible",
]
