"""A tokenizer of a small world's words, and models of two blocks that tests change freely."""

import pytest
import torch
from small_world import TEXT

from gptlib.config import GPTConfig
from gptlib.finetuning import add_special_tokens
from gptlib.model import GPT
from gptlib.tokenizer import BPETokenizer


@pytest.fixture(autouse=True)
def one_thread_each(one_thread):
    """The models are tiny."""


@pytest.fixture(scope="session")
def plain_tokenizer():
    return BPETokenizer.train([TEXT], 300, ["<|endoftext|>"], fast=True)


@pytest.fixture
def base(plain_tokenizer):
    """A model without special tokens but the end of a text."""
    shape = {"context_length": 48, "n_layers": 2, "n_heads": 2, "width": 16, "dropout": 0.0}
    return GPT(GPTConfig(plain_tokenizer.vocab_size, **shape), seed=1)


@pytest.fixture
def chat(base, plain_tokenizer):
    """A model and a tokenizer with the five special tokens."""
    return add_special_tokens(base, plain_tokenizer)


@pytest.fixture
def ids(base):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(base.config.vocab_size, (3, 12), generator=generator)  # (B, T)
