"""From a writer to a judge: the last real token has read the whole text, and a new head asks it.

Targets have the shape of a language model's, (B, T): the label stands where it is asked for, at
the last token that is not padding, and −100 everywhere else. So the same trainer serves.
"""

import json
import math
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gptlib import finetuning
from gptlib.config import GPTConfig, require
from gptlib.errors import CheckpointError, CorpusError
from gptlib.finetuning import IGNORED, AnsweringGPT, ExampleDataset, Row
from gptlib.generation import eval_mode
from gptlib.model import GPT
from gptlib.tokenizer import Tokenizer
from gptlib.training.checkpoint import MODEL, check_tensors, load_checkpoint

LEARNS = ("head", "last block", "everything")


class GPTClassifier(AnsweringGPT):
    """A model, taken over, with a score for each label in the place of one for each token.

    Args:
        model: gives all but the head; everything but the head starts as it is there.
        labels: K names, each once; the class with number k is ``labels[k]``.
        learns: ``head`` alone, the ``last block`` with the final LayerNorm and the head, or
            ``everything``.
        seed: draws the head, from N(0, 0.02) as GPT-2's embedding.
    """

    def __init__(
        self, model: GPT, labels: Sequence[str], learns: str = "everything", seed: int = 0
    ) -> None:
        super().__init__(model)
        distinct = len(set(labels)) == len(labels) > 1
        require(distinct, f"labels are {labels}: give two or more, each once")
        require(learns in LEARNS, f"learns is {learns!r}: use one of {', '.join(LEARNS)}")
        self.requires_grad_(learns == "everything")
        for part in (self.blocks[-1], self.ln_final) if learns == "last block" else ():
            part.requires_grad_(True)
        generator = torch.Generator(model.device).manual_seed(seed)
        weight = model.token_embedding.weight.new_empty(len(labels), self.config.width)  # (K, C)
        self.score = nn.Linear(self.config.width, len(labels), bias=False, device="meta")
        self.score.weight = nn.Parameter(weight.normal_(0, 0.02, generator=generator))
        # in the model's state, so that no checkpoint is read with other labels
        names = torch.tensor(list(json.dumps([*labels]).encode()), dtype=torch.uint8)
        self.register_buffer("label_names", names)

    @property
    def labels(self) -> list[str]:
        """The names of the classes, by number."""
        return label_names(self.get_buffer("label_names"))

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """The scores (B, T, K) at every position; with targets (B, T) the loss where they ask."""
        hidden = self.hidden_states(ids)  # (B, T, C)
        if targets is None:
            return self.score(hidden)  # (B, T, K)
        asked = targets != IGNORED  # (B, T), one position in each row
        return F.cross_entropy(self.score(hidden[asked]), targets[asked])


def label_names(content: Tensor) -> list[str]:
    """The labels in the bytes of a model's state."""
    names: list[str] = json.loads(bytes(content.tolist()))
    return names


def label_dataset(
    tokenizer: Tokenizer, rows: Sequence[Row], labels: Sequence[str], context_length: int
) -> ExampleDataset:
    """Rows with ``text`` and ``label`` as the trainer reads them.

    Raises:
        CorpusError: a field is missing or empty, an id comes twice, a label is not among
            `labels`, or a text is longer than the context.
    """
    finetuning.check_rows(rows, ("text", "label"))
    encoded = []
    for number, row in enumerate(rows, 1):
        if row["label"] not in labels:
            raise CorpusError(
                f"example {number}: label {row['label']!r} is not among "
                f"{', '.join(map(repr, labels))}: correct it, or begin a model with all labels"
            )
        ids = tokenizer.encode(row["text"].strip())
        finetuning.check_length(len(ids), context_length, f"example {number}")
        encoded.append((ids, [IGNORED] * (len(ids) - 1) + [labels.index(row["label"])]))
    pad = tokenizer.special_tokens.get(finetuning.PAD, 0)  # no real token looks there: any will do
    return finetuning.pad_rows(encoded, pad)


@torch.no_grad()
def confusion(model: GPTClassifier, data: ExampleDataset, batch_size: int = 32) -> Tensor:
    """How often each label was taken for each: (K, K) counts, the true one by row."""
    K = len(model.labels)
    counts = torch.zeros(K * K, dtype=torch.long)
    with eval_mode(model):
        for first in range(0, len(data), batch_size):
            x, y = data[first : first + batch_size]  # (B, T) each
            found = model(x.to(model.device)).argmax(dim=-1).cpu()  # (B, T)
            asked = y != IGNORED
            counts += torch.bincount(y[asked] * K + found[asked], minlength=K * K)
    return counts.view(K, K)


def accuracy(counts: Tensor) -> float:
    """The share of right answers in a confusion matrix (K, K): its diagonal."""
    return counts.diagonal().sum().item() / counts.sum().item()


@torch.no_grad()
def classify(model: GPTClassifier, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The likeliest label of each text; CorpusError for one that is empty or too long."""
    rows = [{"text": text, "label": model.labels[0]} for text in texts]  # where, not what
    x, y = label_dataset(tokenizer, rows, model.labels, model.config.context_length)[:]
    with eval_mode(model):
        scores = model(x.to(model.device))[y.to(model.device) != IGNORED]  # (B, K)
    return [model.labels[k] for k in scores.argmax(dim=-1).tolist()]


def load_classifier(folder: str | Path) -> GPTClassifier:
    """The classifier of a run's newest checkpoint, or of one checkpoint, in eval mode on the CPU.

    Raises:
        CheckpointError: there is no intact checkpoint, or it is not a classifier's.
    """
    checkpoint = load_checkpoint(folder, MODEL)
    tensors, shape = checkpoint.tensors[MODEL], GPTConfig.from_dict(checkpoint.state["model"])
    if "label_names" not in tensors:
        raise CheckpointError(f"{checkpoint.folder} is no classifier: open it with load_model")
    model = GPTClassifier(GPT(shape), label_names(tensors["label_names"]))
    check_tensors(checkpoint.folder / MODEL, tensors, model.state_dict())
    model.load_state_dict(tensors)
    return model.eval()


def words(text: str) -> list[str]:
    """The lower-case words of a text without punctuation."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).split()


class BagOfWords:
    """A baseline that counts words and knows nothing of their order: naive Bayes.

    p(label | text) ∝ p(label) · Π p(word | label), each count plus one. Source: McCallum & Nigam
    1998. What a model of language adds is what it is right about beyond this.
    """

    def __init__(self, rows: Sequence[Row], labels: Sequence[str]) -> None:
        self.labels = labels
        self.rows = Counter(row["label"] for row in rows)
        self.counts = {label: Counter[str]() for label in labels}
        for row in rows:
            self.counts[row["label"]].update(words(row["text"]))
        self.known = set().union(*self.counts.values())

    def classify(self, text: str) -> str:
        """The likeliest label; words never seen say nothing."""
        return max(self.labels, key=lambda label: self.log_probability(text, label))

    def log_probability(self, text: str, label: str) -> float:
        """ln p(label) + Σ ln p(word | label), up to what all labels share."""
        counts, total = self.counts[label], self.counts[label].total() + len(self.known)
        seen = [word for word in words(text) if word in self.known]
        prior = math.log(self.rows[label] + 1)
        return prior + sum(math.log((counts[word] + 1) / total) for word in seen)


def exact_match(answer: str, truth: str) -> bool:
    """Whether two answers are the same words in the same order."""
    return words(answer) == words(truth)


def f1(answer: str, truth: str) -> float:
    """How many words two answers share: the harmonic mean of precision and recall.

    Source: Rajpurkar et al. 2016 (SQuAD), section 6.1; articles count here.
    """
    found, right = Counter(words(answer)), Counter(words(truth))
    shared = (found & right).total()
    return 2 * shared / (found.total() + right.total()) if shared else float(found == right)
