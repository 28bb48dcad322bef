"""Text → token ids → text. Read ``training``, ``encoding`` and ``bpe`` first.

interface   what every tokenizer promises
pieces      a text is cut into pieces before any pair is merged
training    which pairs become tokens
encoding    the merges replayed on one piece
spelling    vocab.json and merges.txt
bpe         the tokenizer made of these
language    a vocabulary from a large text, trained in Rust
gpt2        GPT-2's own vocabulary through tiktoken; ``ranks`` finds it
characters  one id per character
streaming   text from ids that come one by one
"""

from gptlib.tokenizer.bpe import BPETokenizer
from gptlib.tokenizer.characters import CharacterTokenizer
from gptlib.tokenizer.encoding import encode_piece
from gptlib.tokenizer.gpt2 import GPT2Tokenizer
from gptlib.tokenizer.interface import Tokenizer
from gptlib.tokenizer.language import train_tokenizer
from gptlib.tokenizer.loading import load_tokenizer
from gptlib.tokenizer.streaming import decode_stream
from gptlib.tokenizer.training import train_bpe

__all__ = [
    "BPETokenizer",
    "CharacterTokenizer",
    "GPT2Tokenizer",
    "Tokenizer",
    "decode_stream",
    "encode_piece",
    "load_tokenizer",
    "train_bpe",
    "train_tokenizer",
]
