"""What ``generate`` does: from the name of a model to a text, with its speed."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from gptlib.commands.models import open_model
from gptlib.errors import GPTLibError
from gptlib.generation import generate_ids, token_log_probs
from gptlib.inference import prepare_for_inference
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.planning import free_memory
from gptlib.tokenizer import decode_stream

Step = list[int | None]  # the new id of each sequence, None where it has ended


@dataclass
class Speed:
    """Counts tokens as they are written, the reading of the prompt included in the time."""

    tokens: int = 0
    seconds: float = 0.0

    def watch(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Hand on the steps of a generation."""
        start = time.perf_counter()
        for step in steps:
            self.tokens += sum(token is not None for token in step)
            self.seconds = time.perf_counter() - start
            yield step

    def __str__(self) -> str:
        rate = self.tokens / self.seconds if self.seconds else 0
        return f"{self.tokens:,} tokens in {self.seconds:.2f} s: {rate:.1f} tokens/s"


class Writer:
    """A model that writes, and how fast it did.

    Args:
        source: which model; see :func:`open_model`.
        prompt: the text to continue.
        dtype, compiled: see :func:`prepare_for_inference`.
    """

    def __init__(
        self, source: str, prompt: str, dtype: str = "float32", compiled: bool = False
    ) -> None:
        model, self.tokenizer = open_model(source)
        self.model = prepare_for_inference(model, dtype, compiled)
        self.prompt = prompt
        self.prompt_ids = self.tokenizer.encode(prompt)
        self.speed = Speed()

    def steps(self, max_new_tokens: int, **settings: Any) -> Iterator[Step]:
        """Write token by token; see :func:`generate_ids` for the settings."""
        settings = {"end_of_text": self.tokenizer.end_of_text, **settings}
        fast = CachedGPT(self.model)
        return self.speed.watch(generate_ids(fast, self.prompt_ids, max_new_tokens, **settings))

    def pieces(self, max_new_tokens: int, **settings: Any) -> Iterator[str]:
        """Yield one continuation piece by piece, whole characters only."""
        end = self.tokenizer.end_of_text
        steps = self.steps(max_new_tokens, **settings)
        new_ids = (token for (token,) in steps if token is not None and token != end)
        return decode_stream(self.tokenizer, new_ids)

    def continuations(self, n: int, max_new_tokens: int, **settings: Any) -> list[list[int]]:
        """The new ids of ``n`` sequences, each up to and with its end of text."""
        check_room(self.model, n, len(self.prompt_ids) + max_new_tokens)
        new: list[list[int]] = [[] for _ in range(n)]
        for step in self.steps(max_new_tokens, n_sequences=n, **settings):
            for ids, token in zip(new, step, strict=True):
                if token is not None:
                    ids.append(token)
        return new

    def text(self, new_ids: list[int]) -> str:
        """Prompt and continuation, the end-of-text token left out."""
        end = self.tokenizer.end_of_text
        return self.prompt + self.tokenizer.decode(token for token in new_ids if token != end)

    def scores(self, new_ids: list[int]) -> list[float]:
        """The log-probability of each new token, after all that stands before it."""
        ids = torch.tensor([self.prompt_ids + new_ids])
        return token_log_probs(self.model, ids, first=len(self.prompt_ids))[0].tolist()


def check_room(model: GPT, n_sequences: int, length: int) -> None:
    """Refuse, before any work, more sequences at a time than the free memory has room for.

    Counted are keys and values, and three rows of V numbers: logits, the same divided,
    probabilities. A GPU gives the cache its whole context at once, a CPU what is written to.

    Args:
        length: tokens of a sequence, prompt and all.
    """
    config, on_gpu = model.config, model.device.type == "cuda"
    positions = config.context_length if on_gpu else min(length, config.context_length)
    each = 2 * config.n_layers * positions * config.width * model.token_embedding.weight.itemsize
    each += 3 * config.vocab_size * torch.float32.itemsize
    free = torch.cuda.mem_get_info(model.device)[0] if on_gpu else free_memory()
    if free is not None and n_sequences > max(1, free // each):
        raise GPTLibError(
            f"{n_sequences:,} sequences at a time need {n_sequences * each / 1e9:,.1f} GB, "
            f"{free / 1e9:,.1f} GB are free: use --num-return-sequences {max(1, free // each)} "
            f"or fewer, with another --seed each time"
        )
