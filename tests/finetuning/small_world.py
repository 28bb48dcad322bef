"""Facts about two people, with labels and as questions; small models that learn from them."""

import copy

from gptlib.classification import GPTClassifier, label_dataset
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.finetuning import AnsweringGPT, answer_dataset, examples
from gptlib.lora import add_lora
from gptlib.model import GPT
from gptlib.tokenizer import BPETokenizer
from gptlib.training.trainer import Trainer

TEXT = "Lina lives in Oran. Karim is a baker. Where does Lina live? What is the work of Karim? " * 4
FACTS = {"place": "Oran Jijel Mila Setif", "job": "baker teacher doctor tailor"}
ROWS = [
    {"text": f"Lina {said} {word}.", "label": label}
    for label, said in (("place", "lives in"), ("job", "is a"))
    for word in FACTS[label].split()
]
QUESTIONS = [
    {
        "id": f"q{number}",
        "context": f"Lina lives in {place}. Karim is a {job}.",
        "question": "Where does Lina live?" if number % 2 else "What is the work of Karim?",
        "answer": place if number % 2 else job,
    }
    for number, (place, job) in enumerate(
        zip(FACTS["place"].split(), FACTS["job"].split(), strict=True)
    )
]
CONFIG = TrainingConfig(
    steps=10,
    batch_size=3,
    accumulation=2,
    learning_rate=1e-2,
    warmup_steps=2,
    evaluate_every=5,
    checkpoint_every=5,
)
LABELS = ["place", "job"]
KINDS = ["answers", "answers with LoRA", "head", "last block", "everything", "labels with LoRA"]


def of_kind(kind, base, tokenizer):
    """A model of one kind, begun anew each time, and its examples."""
    base = copy.deepcopy(base)
    if kind in ("answers", "answers with LoRA"):
        data = answer_dataset(tokenizer, examples(QUESTIONS, "question"), 48)
        model = AnsweringGPT(base)
        return (add_lora(model, 4, 8) if "LoRA" in kind else model), data
    data = label_dataset(tokenizer, ROWS, LABELS, 48)
    if kind == "labels with LoRA":
        return add_lora(GPTClassifier(base, LABELS), 4, 8), data
    return GPTClassifier(base, LABELS, kind), data


def plain_tokenizer():
    return BPETokenizer.train([TEXT], 300, ["<|endoftext|>"], fast=True)


def plain_model(tokenizer):
    """Without special tokens but the end of a text."""
    shape = {"context_length": 48, "n_layers": 2, "n_heads": 2, "width": 16, "dropout": 0.0}
    return GPT(GPTConfig(tokenizer.vocab_size, **shape), seed=1)


def trainer_of(kind, chat, folder):
    model, data = of_kind(kind, *chat)
    return Trainer(model, data, data.subset(range(3)), CONFIG, folder, chat[1])
