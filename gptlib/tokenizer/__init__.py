"""Text → token ids → text. Read ``bpe`` first, beside notebook 01.

bpe         the algorithm: pieces, training, encoding
vocabulary  vocab.json and merges.txt, training in Rust, checks
tokenizers  what every tokenizer promises; BPE, and one id per character
gpt2        GPT-2's own, through tiktoken; ``load_tokenizer``
"""

from gptlib.tokenizer.bpe import encode_piece, train_bpe
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
    "encode_piece",
    "load_tokenizer",
    "train_bpe",
]
