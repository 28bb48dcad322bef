"""One training small enough to be repeated many times: characters of two lines, with dropout."""

from pathlib import Path

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.dataset import TokenDataset
from gptlib.model import GPT
from gptlib.tokenizer import CharacterTokenizer
from gptlib.training.trainer import Trainer

TEXT = "the theme then the hem, and then the theme again; " * 8
TOKENIZER = CharacterTokenizer.train(TEXT)
TINY = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=8, n_layers=2, n_heads=2, width=8, dropout=0.2
)
IDS = TOKENIZER.encode(TEXT)
TRAIN, VALIDATION = TokenDataset(IDS[:320], 8), TokenDataset(IDS[320:], 8)
CONFIG = TrainingConfig(
    steps=20,
    batch_size=4,
    accumulation=2,
    learning_rate=1e-2,
    warmup_steps=2,
    evaluate_every=5,
    checkpoint_every=5,
)


def trainer_of(folder: str | Path | None, config: TrainingConfig) -> Trainer:
    """A trainer of a new model, whose run is kept in a folder."""
    return Trainer(GPT(TINY, seed=1), TRAIN, VALIDATION, config, folder, TOKENIZER)
