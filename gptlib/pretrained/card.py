"""A model card: what a stranger must know of a model, filled from the run that made it.

It names no licence for the weights: that is for whoever trained them to choose.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gptlib.config import GPTConfig, padded_size
from gptlib.pretrained.provenance import Text, text_of
from gptlib.training.metrics import Row, best_validation, curve
from gptlib.training.run import INTERVALS

POINTS = 8  # rows of the table of losses


@dataclass(frozen=True)
class Facts:
    """What a card is filled from."""

    title: str  # of the model
    config: GPTConfig
    parameters: int  # without spare rows
    tokenizer: str | None  # its name
    step: int  # updates behind the parameters
    rows: list[Row]  # the run's metrics up to that step, the line about the run first
    figure: str | None = None  # the file beside the card that shows its curves


def model_card(facts: Facts) -> str:
    """The card as Markdown, with the head of fields that the hub reads."""
    about = facts.rows[0] if facts.rows else {}
    text = text_of(about)
    parts = [
        head(text),
        [f"# {plain(facts.title)}", "", summary(facts, text)],
        usage(facts),
        training_text(text),
        ["## Model", "", *table(("fact", "value"), shape(facts))],
        training(facts, about),
        curves(facts),
        limits(facts),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def head(text: Text | None) -> list[str]:
    """The fields that the hub reads; only fixed words and names of data sets that we know."""
    lines = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    lines += ["tags:", "- gpt2", "- gptlib"]
    if text and text.repository:
        lines += ["datasets:", f"- {text.repository}"]
    return [*lines, "---"]


def summary(facts: Facts, text: Text | None) -> str:
    """Two sentences."""
    about = facts.rows[0] if facts.rows else {}
    began = about.get("began_with")
    start = f" from the weights of {plain(began)}" if began else " from scratch" if about else ""
    where = plain(text.name) if text else "a text that the run did not name"
    origin = f"trained{start} for {facts.step:,} steps on {where}"
    return (
        f"A GPT-2 model of {facts.parameters:,} parameters, {origin}. It continues a text; it "
        f"follows no instructions. Made with gptlib, the library of a course that builds GPT-2 "
        f"from bytes to a trained model."
    )


def usage(facts: Facts) -> list[str]:
    """How to open it; nothing of it needs code from here."""
    if facts.tokenizer is None:
        return ["## Use", "", "The model came without a tokenizer: it reads and writes ids."]
    n_new = max(1, min(30, facts.config.context_length - 4))  # "Once" is at most 4 tokens
    code = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'folder = "."  # this folder, or the name of its repository',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model = AutoModelForCausalLM.from_pretrained(folder)",
        'inputs = tokenizer("Once", return_tensors="pt")',
        f"outputs = model.generate(**inputs, max_new_tokens={n_new}, do_sample=True)",
        "print(tokenizer.decode(outputs[0], skip_special_tokens=True))",
    ]
    return ["## Use", "", "```python", *code, "```"]


def training_text(text: Text | None) -> list[str]:
    """The text, where it is from and under which terms."""
    if text is None:
        return ["## Training text", "", "Not known here."]
    rows = [("name", plain(text.name)), ("from", plain(text.source))]
    rows += [("licence", plain(text.licence)), ("sha256", f"`{text.fingerprint}`")]
    lines = ["## Training text", "", *table(("fact", "value"), rows), ""]
    return [
        *lines,
        "The card names no licence for the weights: choose one that the terms of the text allow, "
        "and write it into the head of this file (`license: …`).",
    ]


def shape(facts: Facts) -> list[tuple[str, str]]:
    """The model's size in words."""
    config = facts.config
    spare = padded_size(config.vocab_size, config.vocab_multiple) - config.vocab_size
    rows = [
        ("parameters", f"{facts.parameters:,}"),
        ("blocks (layers)", f"{config.n_layers}"),
        ("heads", f"{config.n_heads} of width {config.head_width}"),
        ("width", f"{config.width:,}"),
        ("context", f"{config.context_length:,} tokens"),
        ("vocabulary", f"{config.vocab_size:,} tokens ({plain(facts.tokenizer or 'unknown')})"),
        ("dropout", f"{config.dropout:g}"),
    ]
    if spare:
        rows.append(("left out", f"{spare:,} spare rows of the token table: no token has them"))
    if not config.qkv_bias:
        rows.append(("zeros", "biases of queries, keys and values: it was trained without them"))
    return rows


def training(facts: Facts, about: Row) -> list[str]:
    """The settings that decide the outcome, the machine and the versions."""
    if not about:
        return []
    settings, versions = about.get("training", {}), about.get("environment", {})
    rows = [(name, plain(shown(settings[name]))) for name in settings if name not in INTERVALS]
    seen = [row["tokens"] for row in facts.rows if "tokens" in row]
    if seen:
        rows.insert(0, ("tokens seen", f"{seen[-1]:,}"))
    rows += [(name, plain(shown(value))) for name, value in versions.items()]
    return ["## Training", "", *table(("setting", "value"), rows)]


def curves(facts: Facts) -> list[str]:
    """The losses as a figure and as numbers."""
    steps, losses = curve(facts.rows, "loss")
    if not steps:
        return []
    validated = dict(zip(*curve(facts.rows, "validation_loss"), strict=True))
    trained = dict(zip(steps, losses, strict=True))
    wanted = spread(sorted(validated) or steps, POINTS)
    numbers = [(f"{s:,}", loss(trained.get(s)), loss(validated.get(s))) for s in wanted]
    lines = ["## Curves", ""]
    if facts.figure:
        lines += [f"![Training and validation loss over the steps of the run]({facts.figure})", ""]
    lines += table(("step", "training loss", "validation loss"), numbers)
    lines += ["", "Losses are in nats per token, training losses of the batch that comes next."]
    best_step, best = best_validation(facts.rows)
    if best is not None:
        lines[-1] += f" Lowest validation loss: {best:.4f} at step {best_step:,}; "
        lines[-1] += f"these are the weights of step {facts.step:,}."
        if best_step is not None and best_step < facts.step:
            lines[-1] += " Training beyond the lowest point memorises the training text."
    return lines


def limits(facts: Facts) -> list[str]:
    """What it cannot do, and what nobody has looked at."""
    measured = "Nothing is known here of how it does on a text that it was not trained on."
    if curve(facts.rows, "validation_loss")[0]:
        measured = "Its loss was measured on held-out parts of the same text only, not on any task."
    return [
        "## Limits",
        "",
        f"- It sees {facts.config.context_length:,} tokens at most, those that it writes included.",
        "- What it writes sounds like its training text and is not checked: names, numbers and "
        "facts are often invented.",
        "- It may repeat the opinions, errors and private details of its text, and whole passages.",
        f"- {measured}",
    ]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    for cells in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"


def spread(steps: list[int], most: int) -> list[int]:
    """At most so many of them, evenly, the first and the last among them."""
    n = min(most, len(steps))
    return [steps[place * (len(steps) - 1) // max(1, n - 1)] for place in range(n)]


def loss(value: float | None) -> str:
    """A loss for a table."""
    return "–" if value is None else f"{value:.4f}"


def shown(value: Any) -> str:
    """A setting as one would write it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(text: str) -> str:
    """A text on one line that Markdown shows as it is, whatever signs it holds."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$&])", r"\\\1", " ".join(text.split()))
