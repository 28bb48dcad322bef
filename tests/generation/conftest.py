"""What the tests of generation share: small models and a tokenizer."""

import pytest
import torch

from gptlib.config import GPTConfig
from gptlib.model import GPT
from gptlib.tokenizer import BPETokenizer

SMALL = GPTConfig(vocab_size=61, context_length=12, n_layers=2, n_heads=2, width=16, dropout=0.1)
# characters of two, three and four bytes, so that one token is often a part of a character
TEXT = "وحد نهار كنت رايح للسوق 🙂🌍 déjà vu, then bread — 🥖 خبز. " * 3


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    """All models here are tiny."""


@pytest.fixture(scope="session")
def make_model():
    """Make a model whose parameters are so large that its choices depend on all that it reads."""

    def make(config=SMALL, std=0.4, dtype=torch.float64, **changed):
        config = GPTConfig.from_dict({**config.to_dict(), **changed})
        model, generator = GPT(config).to(dtype).eval(), torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=std, generator=generator)
        return model

    return make


@pytest.fixture(scope="session")
def model(make_model):
    return make_model()


@pytest.fixture(scope="session")
def text():
    return TEXT


@pytest.fixture(scope="session")
def tokenizer(text):
    return BPETokenizer.train(text, 300, special_tokens=["<|endoftext|>"])
