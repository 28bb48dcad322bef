"""GPT-2: one table used twice, and a stack of blocks between.

Source: Radford et al. 2019, sections 2.2 and 2.3, and OpenAI's released weights.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib.block import Block, LayerNorm
from gptlib.config import GPTConfig, padded_size
from gptlib.errors import PromptError, TokenOutOfRange
from gptlib.loss import chunked_cross_entropy


class GPT(nn.Module):
    """Token ids in, one score for every possible next token out.

    The output head is the token embedding itself (tied: Press & Wolf 2017), so it has no
    parameters of its own.

    Args:
        config: the model's shape.
        seed: draws the initial parameters; by default PyTorch's global stream does.
    """

    def __init__(self, config: GPTConfig, seed: int | None = None) -> None:
        super().__init__()
        self.config, rows = config, padded_size(config.vocab_size, config.vocab_multiple)
        self.token_embedding = nn.Embedding(rows, config.width)
        self.position_embedding = nn.Embedding(config.context_length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = LayerNorm(config.width, config.layer_norm_epsilon)
        initialize(self, seed)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """Score every next token at every position, or say how surprising the true ones are.

        Args:
            ids: (B, T) whole numbers below `vocab_size`, T at most `context_length`.
            targets: (B, T), ids one position later; every one counts.

        Returns:
            Logits (B, T, V); with targets the loss, the mean of −ln p(target) in nats per token:
            ln V for a model that knows nothing.

        Raises:
            PromptError: T is 0 or above the context.
            TokenOutOfRange: an id is not in the vocabulary (checked for ids on the CPU; look
                at others with :func:`check_ids` first, since a GPU reports it badly and late).
            ValueError: there are more or fewer targets than ids.
        """
        x = self.hidden_states(ids)  # (B, T, C)
        if targets is None:
            return self.logits(x)  # (B, T, V)
        return chunked_cross_entropy(x.flatten(0, 1), self.lm_head_weight, targets.flatten())

    def hidden_states(self, ids: Tensor) -> Tensor:
        """The normalized residual stream (B, T, C) that the head reads; see :meth:`forward`."""
        check_ids(ids, self.config)
        positions = torch.arange(ids.shape[1], device=ids.device)  # (T,)
        x = self.dropout(self.token_embedding(ids) + self.position_embedding(positions))
        for block in self.blocks:
            x = block(x)  # (B, T, C)
        return self.ln_final(x)  # (B, T, C)

    def logits(self, hidden_states: Tensor) -> Tensor:
        """Compare hidden states (..., C) with the embedding of every token; returns (..., V)."""
        return F.linear(hidden_states, self.lm_head_weight)  # (..., V)

    @property
    def lm_head_weight(self) -> Tensor:
        """The token embedding (V, C) without spare rows: what is never scored never comes."""
        table, V = self.token_embedding.weight, self.config.vocab_size
        return table if len(table) == V else table[:V]  # a slice's gradient would be copied

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.token_embedding.weight.device

    def n_parameters(self) -> int:
        """How many numbers the parameters hold; the tied head counts once, spare rows too."""
        return sum(parameter.numel() for parameter in self.parameters())


def initialize(model: GPT, seed: int | None = None) -> None:
    """Draw GPT-2's initial parameters: weights from N(0, 0.02), biases 0, LayerNorm 1 and 0.

    The two projections that write into the residual stream are drawn smaller by √(2L), so that
    2L additions leave its size alone (Radford et al. 2019, section 2.3).
    """
    generator = None
    if seed is not None and model.device.type != "meta":
        generator = torch.Generator(model.device).manual_seed(seed)
    residual_std = 0.02 / math.sqrt(2 * model.config.n_layers)
    for name, parameter in model.named_parameters():
        if name.endswith("projection.weight"):  # of attention and of the MLP, into the stream
            nn.init.normal_(parameter, std=residual_std, generator=generator)
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, std=0.02, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def check_ids(ids: Tensor, config: GPTConfig) -> None:
    """Refuse ids that the model cannot read, before any work is done; see :meth:`GPT.forward`."""
    if ids.dim() != 2 or ids.shape[1] == 0:
        raise PromptError(
            f"ids have shape {tuple(ids.shape)}: give (sequences, positions) "
            f"with at least one position"
        )
    if ids.shape[1] > config.context_length:
        raise PromptError(
            f"{ids.shape[1]:,} tokens but the model's context is {config.context_length:,}: "
            f"shorten the text or keep its last {config.context_length:,} tokens"
        )
    if ids.device.type == "cpu" and ids.numel():
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= config.vocab_size:
            raise TokenOutOfRange(
                f"token id {low if low < 0 else high} is outside the vocabulary of "
                f"{config.vocab_size:,}: encode with the tokenizer that the model was made for"
            )


def count_parameters(config: GPTConfig) -> dict[str, int]:
    """How many parameters each part holds, from the shape alone.

    Returns:
        Counts by part, and their sum under ``total``; equal to ``GPT(config).n_parameters()``.
    """
    C, L = config.width, config.n_layers
    parts = {
        "token embedding": padded_size(config.vocab_size, config.vocab_multiple) * C,
        "position embedding": config.context_length * C,
        "attention": L * (4 * C * C + C + (3 * C if config.qkv_bias else 0)),
        "MLP": L * (8 * C * C + 5 * C),
        "LayerNorm": (2 * L + 1) * 2 * C,
    }
    return {**parts, "total": sum(parts.values())}
