"""What the tests of pretrained share: one thread, a tokenizer, a model written by transformers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hf_folders import SMALL
from tokenizer_texts import darija
from transformers import GPT2LMHeadModel
from transformers_twin import twins

from gptlib.config import GPTConfig
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread: None) -> None:
    """All models here are small."""


@pytest.fixture(scope="session")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(darija(), 300, [END_OF_TEXT], fast=True)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., tuple[Path, GPT2LMHeadModel]]:
    """Let transformers write a model with random weights; returns the folder and the model."""

    def save(
        config: GPTConfig = SMALL, std: float = 0.3, dtype: torch.dtype = torch.float64
    ) -> tuple[Path, GPT2LMHeadModel]:
        _, theirs = twins(config, std, dtype)
        theirs.config.architectures = ["GPT2LMHeadModel"]
        theirs.config.bos_token_id = theirs.config.eos_token_id = None
        theirs.save_pretrained(tmp_path / "theirs")
        return tmp_path / "theirs", theirs

    return save
