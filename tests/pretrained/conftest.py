"""What the tests of pretrained share: one thread, a tokenizer, a model written by transformers."""

import pytest
import torch
from hf_folders import SMALL
from tokenizer_texts import darija
from transformers_twin import twins

from gptlib.tokenizer import END_OF_TEXT, BPETokenizer


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    """All models here are small."""


@pytest.fixture(scope="session")
def tokenizer():
    return BPETokenizer.train(darija(), 300, [END_OF_TEXT], fast=True)


@pytest.fixture
def saved(tmp_path):
    """Let transformers write a model with random weights; returns the folder and the model."""

    def save(config=SMALL, std=0.3, dtype=torch.float64):
        _, theirs = twins(config, std, dtype)
        theirs.config.architectures = ["GPT2LMHeadModel"]
        theirs.config.bos_token_id = theirs.config.eos_token_id = None
        theirs.save_pretrained(tmp_path / "theirs")
        return tmp_path / "theirs", theirs

    return save
