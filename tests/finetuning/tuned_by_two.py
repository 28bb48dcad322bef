"""What each process of ``torchrun`` runs in the tests: fine-tunings in the folder named."""

import sys
from pathlib import Path

import torch
from small_world import plain_model, plain_tokenizer, trainer_of

from gptlib.finetuning import add_special_tokens
from gptlib.training import distributed

if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.setup()
    tokenizer = plain_tokenizer()
    chat = add_special_tokens(plain_model(tokenizer), tokenizer)
    for kind in ("last block", "labels with LoRA", "answers"):
        trainer_of(kind, chat, Path(sys.argv[1]) / kind).train()
    distributed.cleanup()
