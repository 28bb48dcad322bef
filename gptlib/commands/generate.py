"""``generate`` and ``evaluate``: a text from a model, and how well it foretells one."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from gptlib.commands.inputs import load_text, open_model, refuse_choice, standard_input
from gptlib.config import MAX_SEED, require
from gptlib.data.prepare import PreparedCorpus, is_prepared, open_prepared
from gptlib.errors import ConfigError, GPTLibError, PromptError
from gptlib.generation import generate_ids, token_log_probs
from gptlib.inference import prepare_for_inference
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.planning import free_memory
from gptlib.tokenizer import Tokenizer, decode_stream
from gptlib.training.evaluation import evaluate_text

Step = list[int | None]  # the new id of each sequence, None where it has ended


def generate(
    model: str,
    prompt: str | None,
    checkpoint: str | None,
    device: str | None,
    num_return_sequences: int,
    dtype: str,
    compiled: bool,
    stream: bool,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Print continuations of a prompt, or of standard input where it is None; and on standard
    error what wrote them and how fast. For `sampling` see :func:`generate_ids`."""
    if stream and (as_json or num_return_sequences > 1):
        raise ConfigError("--stream shows one text: leave out --json and --num-return-sequences")
    prompt = read_prompt(prompt)
    seed = sampling["seed"]
    require(seed is None or 0 <= seed <= MAX_SEED, f"--seed is {seed}: use 0 to {MAX_SEED}")
    gpt, tokenizer, said = open_model(model, checkpoint, device)
    gpt, prompt_ids = prepare_for_inference(gpt, dtype, compiled), tokenizer.encode(prompt)
    check_room(gpt, num_return_sequences, len(prompt_ids) + sampling["max_new_tokens"])
    sampling |= {"end_of_text": tokenizer.end_of_text, "n_sequences": num_return_sequences}
    speed = Speed()
    steps = speed.watch(generate_ids(CachedGPT(gpt), prompt_ids, **sampling))
    if stream:
        show_stream(prompt, steps, tokenizer)
    else:
        new: list[list[int]] = [[] for _ in range(num_return_sequences)]
        for step in steps:
            for ids, token in zip(new, step, strict=True):
                if token is not None:
                    ids.append(token)
        end = tokenizer.end_of_text
        texts = [prompt + tokenizer.decode(token for token in ids if token != end) for ids in new]
        if as_json:
            rows = [
                {"text": text, "tokens": ids, "log_probabilities": scores_of(gpt, prompt_ids, ids)}
                for text, ids in zip(texts, new, strict=True)
            ]
            told = {"prompt": prompt, "sequences": rows, "tokens_per_second": speed.rate}
            print(json.dumps(told, ensure_ascii=False, indent=1))  # Arabic stays readable
        else:
            print("\n---\n".join(texts))
    print(f"{said}\n{speed}", file=sys.stderr)


def read_prompt(prompt: str | None) -> str:
    """The prompt that was given, or what standard input holds."""
    if prompt is None:
        if sys.stdin is not None and sys.stdin.isatty():
            raise PromptError("no prompt: give --prompt TEXT, or pipe a text in")
        prompt = standard_input().removesuffix("\n")
    if not prompt:
        raise PromptError("the prompt is empty: give at least one character")
    return prompt


def show_stream(prompt: str, steps: Iterable[Step], tokenizer: Tokenizer) -> None:
    """Print a text while it grows; the prompt comes with its first piece, after all checks."""
    new_ids = (token for (token,) in steps if token not in (None, tokenizer.end_of_text))
    shown = ""
    for piece in decode_stream(tokenizer, new_ids):
        print(piece if shown else prompt + piece, end="", flush=True)
        shown = piece
    print("" if shown else prompt)


def scores_of(model: GPT, prompt_ids: list[int], new_ids: list[int]) -> list[float]:
    """The log-probability of each new token, after all that stands before it."""
    ids = torch.tensor([prompt_ids + new_ids])
    return token_log_probs(model, ids, first=len(prompt_ids))[0].tolist()


class Speed:
    """Counts tokens as they are written, the reading of the prompt included in the time."""

    tokens, seconds = 0, 0.0

    def watch(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Hand on the steps of a generation."""
        start = time.perf_counter()
        for step in steps:
            self.tokens += sum(token is not None for token in step)
            self.seconds = time.perf_counter() - start
            yield step

    @property
    def rate(self) -> float:
        """Tokens in a second."""
        return self.tokens / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens in {self.seconds:.2f} s: {self.rate:.1f} tokens/s"


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


def evaluate(
    model: str, text: str, checkpoint: str | None, device: str | None, as_json: bool, **choice: Any
) -> None:
    """Print the perplexity of a model on a text (of a prepared folder: its validation split), and
    its bits per byte."""
    documents: Iterable[str]
    if is_prepared(Path(text)):
        refuse_choice(text, **choice)
        documents = validation_texts(open_prepared(text))
    else:
        documents = load_text(text, **choice).documents
    gpt, tokenizer, said = open_model(model, checkpoint, device)
    loss = evaluate_text(gpt, tokenizer, documents)
    require(loss.n_bytes > 0, f"{text} has too few tokens: there is nothing to foretell")
    print(said, file=sys.stderr)
    if as_json:
        figures = {"perplexity": loss.perplexity, "bits_per_byte": loss.bits_per_byte}
        print(json.dumps(figures | {"tokens": loss.n_tokens, "bytes": loss.n_bytes}))
        return
    print(f"perplexity     {loss.perplexity:,.2f} per token, over {loss.n_tokens:,} tokens")
    print(f"bits per byte  {loss.bits_per_byte:.3f}, over {loss.n_bytes:,} bytes")


def validation_texts(prepared: PreparedCorpus) -> Iterator[str]:
    """The documents of the validation split, out of their ids."""
    ids, end = prepared.tokens("validation")[:], prepared.tokenizer.end_of_text
    for document in ids.tensor_split(ids.eq(-1 if end is None else end).nonzero().flatten() + 1):
        if text := prepared.tokenizer.decode(token for token in document.tolist() if token != end):
            yield text
