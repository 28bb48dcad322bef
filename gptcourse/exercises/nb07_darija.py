"""The exercises of notebook 07: the share of Arabic, bits per byte, and spare rows in a table."""

import copy
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gptcourse.exercises.exercise import Case, Exercise, Function
from gptcourse.exercises.patches import mistakes
from gptlib.config import padded_size
from gptlib.data.language_id import arabic_share

NOTEBOOK = "07_pretraining_darija"


# 7.1 · Which share of a text's letters is Arabic?

TATWEEL = "\u0640"  # a stroke that stretches a word


def texts_in_two_scripts() -> Iterator[Case]:
    """Rows in one script and in two, and everything that only looks like a letter."""
    rows = {
        "Arabic letters only": "راني رايح للسوق نشري الخبز",
        "Arabizi": "rani raye7 lessou9 nechri lkhobz",
        "French with accents": "je vais au marché acheter du pain",
        "two scripts": "هاذي la robe شابة",
        "Arabic punctuation": "Ça va ؟ Non، pas trop؛ شوية",
        "digits, Arabic and Latin": "٣٤ pains و 12 oeufs",
        "letters that Arabic itself lacks": "گ پ ڤ de Gabès",
        "vowel marks": "قُولِي merci",
        "a stretched word": "جميـــل bien",
        "presentation forms": "ﺳﻼﻡ salut",
        "an invisible mark in front": "\ufeffسلام oui",
        "a letter that has no capital of its own": "Weiß يعني أبيض",
        "no letter": "!! 123 ؟",
        "the empty text": "",
    }
    for label, text in rows.items():
        yield Case(label, (text,))


def share_by_names(text: str) -> float:
    """The share by Unicode's names; the mistakes are patches of this one."""
    letters = [c for c in text if c.isalpha() and c != TATWEEL]
    arabic = [c for c in letters if unicodedata.name(c, "").startswith("ARABIC")]
    return len(arabic) / len(letters) if letters else 0.0


SHARE_MISTAKES = r"""
yes or no: one Arabic letter makes the whole text Arabic.
    len(arabic) / len(letters) if letters else 0.0 => float(len(arabic) > 0)
a share of all characters: spaces and digits stand in the denominator.
    len(letters) if letters => len(text) if text
leaving out what is no letter by a list of Latin signs: ؟ is not in it, nor are vowel marks.
    c.isalpha() and c != TATWEEL => c not in " !?.,:;0123456789"
leaving out spaces, numbers, punctuation and symbols: vowel marks and the invisible U+FEFF are
none of these, and no letters either.
    c.isalpha() => unicodedata.category(c)[0] not in "ZNPS"
isalnum: digits, Arabic ones too, are counted as letters.
    c.isalpha() => c.isalnum()
counting every character of the Arabic block above the line: ؟, ٣ and vowel marks stand in that
block too.
    for c in letters => for c in text
    unicodedata.name(c, "").startswith("ARABIC") => "\u0600" <= c <= "\u06ff"
two counts over the whole text: among the Arabic names are also those of ؟, of digits and of vowel
marks.
    for c in letters => for c in text
names that begin with ARABIC LETTER: two letters in one shape, such as ﻼ, are called a ligature.
    "ARABIC" => "ARABIC LETTER"
the block U+0600 to U+06FF alone: presentation forms, which old files use, stand in another.
    unicodedata.name(c, "").startswith("ARABIC") => "\u0600" <= c <= "\u06ff"
the letters of the Arabic alphabet alone: گ, پ and ڤ, which Darija writes, are missed.
    unicodedata.name(c, "").startswith("ARABIC") => "\u0621" <= c <= "\u064a"
a share of bytes: an Arabic letter has two or three of them, a Latin one mostly one.
    len(arabic) / len(letters) => len("".join(arabic).encode()) / len("".join(letters).encode())
a division by the number of letters even where there are none.
    if letters else 0.0 =>
isalpha alone: it takes the tatweel, which only stretches a word, for a letter.
    and c != TATWEEL =>
letters and marks: a vowel mark stands above or below a letter, and is none.
    c.isalpha() => unicodedata.category(c)[0] in "LM"
taking every letter outside ASCII for Arabic: é and ç are not.
    unicodedata.name(c, "").startswith("ARABIC") => not c.isascii()
a share of words: a long word must weigh more than a short one.
    [c for c in text if c.isalpha() and c != TATWEEL] => text.split()
    unicodedata.name(c, "") => " ".join(unicodedata.name(x) for x in c)
    .startswith("ARABIC") => .count("ARABIC LETTER") > 0
a text whose case was folded first, by casefold() or upper(): ß is one letter, and becomes two.
    for c in text => for c in text.casefold()
a share in per cent: the answer lies between 0 and 1.
    len(arabic) / len(letters) => 100 * len(arabic) / len(letters)
"""


def share_by_counting_scripts(text: str) -> float:
    """The same with a count for each script, the first word of a letter's name."""
    scripts = Counter(unicodedata.name(c).split()[0] for c in text if c.isalpha() and c != TATWEEL)
    return scripts["ARABIC"] / (scripts.total() or 1)


ARABIC_SHARE = Exercise(
    name="arabic_share",
    notebook=NOTEBOOK,
    rating=2,
    minutes=20,
    right=arabic_share,
    cases=texts_in_two_scripts,
    mistakes=mistakes(share_by_names, SHARE_MISTAKES),
    also_right=(share_by_names, share_by_counting_scripts),
)


# 7.2 · From the losses of some rows to the bits that each of their bytes costs


def bits_per_byte(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """Bits per byte of N rows; row i of the losses (N, T) holds `n_tokens[i]`, then padding."""
    nats = sum(losses[i, :n].sum().item() for i, n in enumerate(n_tokens))
    n_bytes = sum(len(row.encode()) for row in rows)
    return nats / math.log(2) / n_bytes


def rows_and_losses() -> Iterator[Case]:
    """One word in two vocabularies, then rows of different length with losses beside the text."""
    word = "وحد"
    yield Case("one word in single bytes", ([word], torch.full((1, 6), math.log(256)), [6]))
    yield Case("one word in pairs of bytes", ([word], torch.full((1, 3), math.log(65_536)), [3]))
    generator = torch.Generator().manual_seed(0)
    rows = ["\ufeffراني رايح للسوق", "wach rak\n", "هاذي la robe شابة", "déjà vu", " خويا"]
    for label, n_rows, width, n_tokens in (
        ("two rows, padded", 2, 12, [11, 4]),
        ("the same rows in fewer tokens", 2, 7, [6, 3]),
        ("five rows, padded", 5, 9, [9, 5, 7, 3, 4]),
    ):
        losses = 6 * torch.rand(n_rows, width, generator=generator) + 1
        yield Case(label, (rows[:n_rows], losses, n_tokens))
    losses = 6 * torch.rand(3, 5, generator=generator) + 1
    yield Case("an empty row among three", (["oui", "", "لا"], losses, [4, 1, 5]))


BITS_MISTAKES = """
nats per byte: one bit is ln 2 nats.
    / math.log(2) =>
multiplying by ln 2: a bit is less than a nat, so there must be more bits than nats.
    / math.log(2) => * math.log(2)
bits per character: len of a text counts characters, and an Arabic letter has two bytes.
    row.encode() => row
bits per token: with other tokens the same text gets another number.
    / n_bytes => / sum(n_tokens)
the perplexity, e to the mean loss: it too depends on the vocabulary.
    nats / math.log(2) / n_bytes => math.exp(nats / sum(n_tokens))
the mean of each row's own ratio: a short row would weigh as much as a long one. Add up nats and
bytes first, divide once.
    losses[i, :n].sum().item() => losses[i, :n].sum().item() / len(rows[i].encode())
    / n_bytes => / len(rows)
a sum over all of the tensor: the losses behind a row's last token belong to the padding.
    sum(losses[i, :n].sum().item() for i, n in enumerate(n_tokens)) => losses.sum().item()
the bytes of a text that lost letters on the way: errors="ignore" throws away what a narrower
encoding cannot hold.
    row.encode() => row.encode("ascii", errors="ignore")
each row's first loss left out while the first token's bytes are counted: the model seems better
than it is.
    [i, :n] => [i, 1:n]
the mean loss of a token divided by the bytes of the whole text: the bytes of the whole need the
sum.
    / n_bytes => / n_bytes / sum(n_tokens)
UTF-16, where every letter has at least two bytes: the course counts those of UTF-8.
    row.encode() => row.encode("utf-16-le")
"""


def bits_with_a_mask(rows: list[str], losses: Tensor, n_tokens: list[int]) -> Tensor:
    """The same as a tensor of one number: a mask takes the padding out."""
    real = torch.arange(losses.shape[1]) < torch.tensor(n_tokens)[:, None]  # (N, T)
    return losses[real].sum() / (len("".join(rows).encode()) * math.log(2))


def bits_number_by_number(rows: list[str], losses: Tensor, n_tokens: list[int]) -> float:
    """The same in plain Python, each loss made to bits before it is added."""
    bits = n_bytes = 0.0
    for row, nats, n in zip(rows, losses.tolist(), n_tokens, strict=True):
        bits += sum(math.log2(math.e) * number for number in nats[:n])
        n_bytes += len(bytes(row, "utf-8"))
    return bits / n_bytes


BITS_PER_BYTE = Exercise(
    name="bits_per_byte",
    notebook=NOTEBOOK,
    rating=2,
    minutes=15,
    right=bits_per_byte,
    cases=rows_and_losses,
    mistakes=mistakes(bits_per_byte, BITS_MISTAKES),
    also_right=(bits_with_a_mask, bits_number_by_number),
)


# 7.3 · Spot the bug: spare rows for a model whose head is its table


class TiedModel(nn.Module):
    """Guess the next token from the last one: a table of tokens, and a head that *is* the table.

    Other courses build GPT-2's head like this, as a layer of its own whose weight is tied. Ours
    computes with the table directly, and has nothing to tie (`gptlib.model.GPT.lm_head_weight`).

    Args:
        vocab_size: V, the columns of the logits, however many rows the table has.
        width: C.
    """

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.table = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, vocab_size, bias=False)
        self.head.weight = self.table.weight  # one parameter, two uses

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to logits (B, T, V)."""
        logits: Tensor = self.head(self.table(ids))  # (B, T, rows)
        return logits[..., : self.vocab_size]  # (B, T, V)


def pad_vocabulary(model: TiedModel, multiple: int) -> TiedModel:
    """Give the table spare rows up to a multiple; the head stays the same parameter."""
    V, C = model.table.weight.shape
    rows = -(-V // multiple) * multiple
    table = torch.nn.Embedding(rows, C)
    with torch.no_grad():
        table.weight[:V] = model.table.weight
    model.table = table
    model.head.weight = table.weight
    return model


def tied_models() -> Iterator[Case]:
    """Sizes that need spare rows, and some that are round already."""
    generator = torch.Generator().manual_seed(0)
    for V, C, multiple in ((5, 3, 4), (8, 4, 4), (7, 2, 16), (13, 6, 8), (2, 5, 1)):
        with torch.random.fork_rng(devices=[]):
            model = TiedModel(V, C)
        torch.nn.init.normal_(model.table.weight, std=0.3, generator=generator)
        yield Case(f"V {V}, C {C}, multiple {multiple}", (model, multiple))


def seen_of_padded(function: Function, model: TiedModel, multiple: int) -> dict[str, Any]:
    """Look at the padded model; a copy is given away, so changing it or not is the same."""
    V = model.vocab_size
    ids = torch.arange(V)[None]  # (1, V): every token once
    old, before = model.table.weight, model(ids)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        padded = function(copy.deepcopy(model), multiple)
    if not isinstance(padded, TiedModel):
        return {"what comes back": padded}
    table, head, after = padded.table.weight, padded.head.weight, padded(ids)
    alike = after.shape[-1] >= V and torch.allclose(after[..., :V], before, atol=1e-5)
    return {
        "what comes back": "a TiedModel",
        "the rows of the table": len(table),
        "the first V rows are the old ones": torch.equal(table[:V], old),
        "the columns of the logits": after.shape[-1],
        "the logits are the same as before": bool(alike),
        "the numbers in all parameters": sum(p.numel() for p in padded.parameters()),
        "the numbers that training changes": sum(
            p.numel() for p in padded.parameters() if p.requires_grad
        ),
        "table and head are one parameter": head is table,
    }


def untied(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like the function as it was given: what was one parameter is two from now on, and
    training parts them."""
    V, C = model.table.weight.shape
    rows = -(-V // multiple) * multiple  # the next multiple, or V itself
    table = torch.nn.Embedding(rows, C)
    with torch.no_grad():
        table.weight[:V] = model.table.weight
    model.table = table
    return model


PADDING_MISTAKES = """
a head that holds a copy of the table: the numbers are equal, until the first step of training.
    model.head.weight = table.weight => model.head.weight = nn.Parameter(table.weight.clone())
a new layer as the head: its numbers are drawn by lot, and the logits are not what they were.
    model.head.weight = table.weight => model.head = nn.Linear(C, rows, bias=False)
spare rows taken for tokens: with a column of logits each they can be drawn, and be targets, and no
tokenizer knows them.
    return model => model.vocab_size = rows; return model
a new table without the old rows: what the model had learned of its tokens is lost.
    table.weight[:V] = model.table.weight => pass
multiple − V % multiple: a table that is round already gets a whole multiple on top.
    -(-V // multiple) * multiple => V + multiple - V % multiple
V + multiple rows: it is the number of rows that has to be a multiple.
    -(-V // multiple) * multiple => V + multiple
rounding down: the last tokens have lost their rows.
    -(-V // multiple) * multiple => V // multiple * multiple
    table.weight[:V] = model.table.weight => table.weight[:] = model.table.weight[:rows]
a table that is never trained again: Embedding.from_pretrained freezes it unless told otherwise.
    return model => table.weight.requires_grad_(False); return model
spare rows in front: every id now finds the row of another token.
    table.weight[:V] => table.weight[rows - V :]
"""


def padded_in_a_new_model(model: TiedModel, multiple: int) -> TiedModel:
    """The same in a new model, whose rows are filled from the old one."""
    V = model.vocab_size
    padded = TiedModel(padded_size(V, multiple), model.head.in_features)
    padded.table.weight.data[:V] = model.table.weight.data
    padded.vocab_size = V
    return padded


def padded_by_joining_rows(model: TiedModel, multiple: int) -> TiedModel:
    """The same by joining zeros to the old rows."""
    V, C = model.table.weight.shape
    rows = torch.cat([model.table.weight.detach(), torch.zeros(-V % multiple, C)])
    model.table.weight = model.head.weight = torch.nn.Parameter(rows)
    return model


PAD_VOCABULARY = Exercise(
    name="pad_vocabulary",
    notebook=NOTEBOOK,
    rating=3,
    minutes=30,
    right=pad_vocabulary,
    cases=tied_models,
    mistakes=(untied, *mistakes(pad_vocabulary, PADDING_MISTAKES)),
    also_right=(padded_in_a_new_model, padded_by_joining_rows),
    given=untied,
    observe=seen_of_padded,
)

EXERCISES = (ARABIC_SHARE, BITS_PER_BYTE, PAD_VOCABULARY)
