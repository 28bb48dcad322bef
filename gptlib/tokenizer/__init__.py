"""Text → token ids → text. Read ``bpe`` first, beside notebook 01.

bpe         the algorithm: pieces, training, encoding
tokenizers  what every tokenizer promises; BPE, and one id per character
vocabulary  what vocab.json, merges.txt and the roles of tokens hold, and what is refused
gpt2        GPT-2's own, through tiktoken; ``load_tokenizer``
"""

from gptlib.tokenizer.gpt2 import GPT2Tokenizer, load_tokenizer
from gptlib.tokenizer.tokenizers import (
    END_OF_TEXT,
    BPETokenizer,
    CharacterTokenizer,
    Tokenizer,
    decode_stream,
)

__all__ = [
    "END_OF_TEXT",
    "BPETokenizer",
    "CharacterTokenizer",
    "GPT2Tokenizer",
    "Tokenizer",
    "decode_stream",
    "load_tokenizer",
]
