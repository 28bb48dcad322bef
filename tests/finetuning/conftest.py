"""A tokenizer of a small world's words, and models of two blocks that tests change freely."""

import pytest
import small_world
import torch

from gptlib.finetuning import add_special_tokens


@pytest.fixture(autouse=True)
def one_thread_each(one_thread):
    """The models are tiny."""


@pytest.fixture(scope="session")
def plain_tokenizer():
    return small_world.plain_tokenizer()


@pytest.fixture
def base(plain_tokenizer):
    return small_world.plain_model(plain_tokenizer)


@pytest.fixture
def chat(base, plain_tokenizer):
    """A model and a tokenizer with the five special tokens."""
    return add_special_tokens(base, plain_tokenizer)


@pytest.fixture
def ids(base):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(base.config.vocab_size, (3, 12), generator=generator)  # (B, T)
