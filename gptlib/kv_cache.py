"""The key/value cache: read every token once.

Attention lets a position look at its past only, so the keys and values of what has been read
never change while the text grows at its end. Kept, they turn the work for one more token from a
pass over the whole text into a pass over one position.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from gptlib.attention import CausalSelfAttention, merge_heads, split_heads
from gptlib.block import Block
from gptlib.model import GPT, check_ids


def attend_cached(query: Tensor, key: Tensor, value: Tensor, cache: Tensor, start: int) -> Tensor:
    """Let new positions gather from themselves and from all that stand in the cache.

    Args:
        query, key, value: (B, H, T, D), of the positions `start` to `start` + T − 1.
        cache: (2, B, H, context, D), the keys and the values of one layer; the new ones are
            written into it.
        start: how many positions it holds already.

    Returns:
        (B, H, T, D), as attention over the whole text gives at these positions.
    """
    T, end = query.shape[2], start + query.shape[2]
    cache[0, :, :, start:end] = key
    cache[1, :, :, start:end] = value
    keys, values = cache[:, :, :, :end]  # 2 × (B, H, end, D)
    mask = None  # one new position, the last, may see all
    if T > 1:  # new position i may see what was there and the first i + 1 of the new
        mask = torch.ones(T, end, dtype=torch.bool, device=query.device).tril(start)  # (T, end)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)  # (B, H, T, D)


class CachedGPT(GPT):
    """A model that remembers what it has read: asked for a longer text, it reads the new part.

    It shares the parameters of the model that it is made from and gives the same logits. What
    it remembers is the longest beginning that a text shares with the one before, so another
    prompt, or a window that has moved, needs no reset. Not handled: training, dropout, and
    parameters that change after the first text was read.

    Args:
        model: what to read with; use it in eval mode, as `generate` does.
    """

    def __init__(self, model: GPT) -> None:
        super(GPT, self).__init__()  # a module without parameters of its own
        self.config, self.training = model.config, model.training
        for name, part in model.named_children():
            self.add_module(name, part)
        self.base_logits = model.logits  # a model may have a head of its own
        self.cached_ids = torch.empty(0, 0, dtype=torch.long)  # (B, T), the ids in the cache
        self.caches: list[Tensor] = []  # for each layer (2, B, H, context, D)

    @torch.no_grad()
    def hidden_states(self, ids: Tensor) -> Tensor:
        """The residual stream (B, new, C) at the positions that are new, at least the last one.

        Args:
            ids: (B, T), the whole text; see :meth:`GPT.forward`, and for what is raised.
        """
        check_ids(ids, self.config)
        start = self.common_prefix(ids)
        if start == 0:
            self.allocate(len(ids))
        self.cached_ids = ids[:, :start].clone()  # what stands after them is written over now
        positions = torch.arange(start, ids.shape[1], device=ids.device)  # (new,)
        x = self.token_embedding(ids[:, start:]) + self.position_embedding(positions)
        blocks = cast(list[Block], self.blocks)
        for block, cache in zip(blocks, self.caches, strict=True):
            x = x + attention_step(block.attention, block.ln_1(x), cache, start)  # (B, new, C)
            x = x + block.mlp(block.ln_2(x))
        self.cached_ids = ids.clone()
        return self.ln_final(x)  # (B, new, C)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """See :meth:`GPT.logits`."""
        return self.base_logits(hidden_states)  # (..., V)

    def common_prefix(self, ids: Tensor) -> int:
        """How many positions of `ids` (B, T) the cache answers for; never the last."""
        T = min(self.cached_ids.shape[1], ids.shape[1] - 1)
        if len(ids) != len(self.cached_ids) or ids.device != self.cached_ids.device:
            return 0
        same = (ids[:, :T] == self.cached_ids[:, :T]).all(dim=0)  # (T,)
        return int(same.long().cumprod(dim=0).sum())  # up to the first that differs

    def allocate(self, B: int) -> None:
        """Make room for a whole context at once: a cache that grew would be copied each time."""
        table, config = self.token_embedding.weight, self.config
        shape = (2, B, config.n_heads, config.context_length, config.head_width)
        self.caches = []  # the old room is given back first
        self.caches = [table.new_empty(shape) for _ in self.blocks]


def attention_step(attention: CausalSelfAttention, x: Tensor, cache: Tensor, start: int) -> Tensor:
    """The attention layer on new positions `x` (B, T, C), the past being in the cache."""
    query, key, value = (
        split_heads(part, attention.n_heads) for part in attention.qkv(x).chunk(3, dim=-1)
    )  # 3 × (B, H, T, D)
    y = attend_cached(query, key, value, cache, start)  # (B, H, T, D)
    return attention.projection(merge_heads(y))  # (B, T, C)
