"""What pretraining is worth, and what fine-tuning forgets, on a small made-up world.

    python tests/benchmarks/finetuning_tables.py --seeds 5

A model of 2 blocks, width 64, learns stories; then 8 to 200 labels, or 200 questions with their
contexts, in five ways. Medians over the seeds with their range. One core, some minutes a seed.
"""

import argparse
import copy
import json
import random
import statistics
from collections import defaultdict

import torch
from made_up_world import NAMES, WORDS, labeled, question, story

from gptlib.classification import (
    BagOfWords,
    GPTClassifier,
    accuracy,
    confusion,
    exact_match,
    label_dataset,
)
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.dataset import TokenDataset, encode_documents
from gptlib.finetuning import (
    AnsweringGPT,
    Example,
    add_special_tokens,
    answer,
    answer_dataset,
    examples,
)
from gptlib.lora import add_lora
from gptlib.model import GPT
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer
from gptlib.training.evaluation import evaluate
from gptlib.training.trainer import Trainer

LABELS = list(WORDS)
WAYS = ("from scratch", "head", "last block", "everything", "LoRA r = 4")
RATES = {"head": 1e-2, "LoRA r = 4": 5e-3}  # of the others 1e-3


def new_model(vocab_size: int, seed: int) -> GPT:
    """Weights of σ = 0.1: with 0.02 copying from the context does not form at this width."""
    shape = {"context_length": 128, "n_layers": 2, "n_heads": 4, "width": 64, "dropout": 0.0}
    model = GPT(GPTConfig(vocab_size, **shape), seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= 5
    return model


def train(model, data, steps, rate, seed, batch_size=16):
    config = TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        learning_rate=rate,
        min_learning_rate=rate / 10,
        warmup_steps=steps // 20,
        evaluate_every=steps,
        seed=seed,
        weight_decay=0.01,
    )
    Trainer(model, data, data.subset(range(min(8, len(data)))), config).train()
    return model


def base_of(way, base, seed):
    """What a way of tuning begins with; its own copy."""
    scratch = new_model(base.config.vocab_size, seed + 100)
    return scratch if way == "from scratch" else copy.deepcopy(base)


def classification(base, tokenizer, seed, steps, found):
    """Accuracy on words that never had a label."""
    test = label_dataset(tokenizer, rows := labeled(random.Random(99), 200, True), LABELS, 128)
    for n in (8, 20, 40, 200):
        rng = random.Random(seed)
        taught = labeled(rng, n, False)
        for way in WAYS:
            learns = way if way in ("head", "last block") else "everything"
            model = GPTClassifier(base_of(way, base, seed), LABELS, learns, seed)
            model = add_lora(model, 4, 8) if "LoRA" in way else model
            data = label_dataset(tokenizer, taught, LABELS, 128)
            train(model, data, steps, RATES.get(way, 1e-3), seed)
            found[f"{n:>3} labels, {way}"].append(accuracy(confusion(model, test)))
        bag = BagOfWords(taught, LABELS)
        right = [bag.classify(row["text"]) == row["label"] for row in rows]
        found[f"{n:>3} labels, bag of words"].append(sum(right) / len(right))


def questions(base, tokenizer, stories, seed, steps, found):
    """Exact answers about people of the training questions, about others, and what is forgotten."""
    base, tokenizer = add_special_tokens(base, tokenizer)
    rng = random.Random(seed)
    known, others = NAMES[:20], NAMES[20:]
    taught = examples([question(rng, known) for _ in range(200)], "question")
    data = answer_dataset(tokenizer, taught, 128)
    for way in ("from scratch", "everything", "LoRA r = 4"):
        model = AnsweringGPT(base_of(way, base, seed))
        model = add_lora(model, 4, 8) if "LoRA" in way else model
        train(model, data, steps, RATES.get(way, 1e-3), seed)
        for who, names in (("known", known), ("others", others)):
            rows = [question(rng, names) for _ in range(60)]
            told = [
                answer(model, tokenizer, Example(row["context"], [(row["question"], "")]), 20)
                for row in rows
            ]
            right = [exact_match(t, row["answer"]) for t, row in zip(told, rows, strict=True)]
            found[f"200 questions, {way}, {who}"].append(sum(right) / len(right))
        found[f"story loss after, {way}"].append(evaluate(model, stories))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1500, help="of pretraining")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(options.seeds):
        rng = random.Random(seed)
        texts = [story(rng) for _ in range(6000)]
        tokenizer = BPETokenizer.train(texts, 600, [END_OF_TEXT], fast=True)
        ids = encode_documents(tokenizer, texts)
        cut = len(ids) * 9 // 10
        stories = TokenDataset(ids[cut:], 64).subset(range(60))
        base = new_model(tokenizer.vocab_size, seed)
        train(base, TokenDataset(ids[:cut], 64), options.steps, 3e-3, seed)
        found["story loss before"].append(evaluate(base, stories))
        classification(base, tokenizer, seed, 150, found)
        questions(base, tokenizer, stories, seed, 300, found)
        print(json.dumps({name: values[-1] for name, values in found.items()}), flush=True)
    for name, values in found.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<40} {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
