"""Tokenizers that several files compare."""

import pytest
import tiktoken

from gptlib.tokenizer import BPETokenizer, GPT2Tokenizer, load_tokenizer

# tiktoken's own rewriting of GPT-2's pattern (tiktoken_ext/openai_public.py), not ours.
TIKTOKENS_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
)


@pytest.fixture(scope="session")
def gpt2():
    tokenizer = load_tokenizer("gpt2")
    assert isinstance(tokenizer, GPT2Tokenizer)
    return tokenizer


@pytest.fixture(scope="session")
def ours(gpt2):
    """GPT-2's merges in our own BPE."""
    return BPETokenizer(gpt2.ranks, gpt2.merges, gpt2.special_tokens)


@pytest.fixture(scope="session")
def theirs(gpt2):
    return tiktoken.Encoding(
        name="reference",
        pat_str=TIKTOKENS_PATTERN,
        mergeable_ranks=gpt2.ranks,
        special_tokens={"<|endoftext|>": 50256},
    )
