"""Exercise 7.3, spot the bug: spare rows for a model whose head is its table."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F

from gptcourse.exercises.darija.tied import TiedModel
from gptcourse.exercises.exercise import Case, Exercise, Function
from gptlib.config import padded_size


def pad_vocabulary(model: TiedModel, multiple: int) -> TiedModel:
    """Give the table spare rows up to a multiple; the head stays the same parameter."""
    model = untied(model, multiple)
    model.head.weight = model.table.weight
    return model


def cases() -> Iterator[Case]:
    """Sizes that need spare rows, and some that are round already."""
    generator = torch.Generator().manual_seed(0)
    for V, C, multiple in ((5, 3, 4), (8, 4, 4), (7, 2, 16), (13, 6, 8), (2, 5, 1)):
        with torch.random.fork_rng(devices=[]):
            model = TiedModel(V, C)
        torch.nn.init.normal_(model.table.weight, std=0.3, generator=generator)
        yield Case(f"V {V}, C {C}, multiple {multiple}", (model, multiple))


def observe(function: Function, model: TiedModel, multiple: int) -> dict[str, Any]:
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


def with_rows(model: TiedModel, rows: int) -> TiedModel:
    """Pad to so many rows, tied: what several mistakes go wrong before."""
    spare = rows - len(model.table.weight)
    model.table.weight = torch.nn.Parameter(F.pad(model.table.weight.detach(), (0, 0, 0, spare)))
    model.head.weight = model.table.weight
    return model


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


def tied_by_copy(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like a head that holds a copy of the table: the numbers are equal, until the
    first step of training."""
    model = pad_vocabulary(model, multiple)
    model.head.weight = torch.nn.Parameter(model.table.weight.detach().clone())
    return model


def head_drawn_anew(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like a new layer as the head: its numbers are drawn by lot, and the logits are
    not what they were."""
    model = pad_vocabulary(model, multiple)
    rows, C = model.table.weight.shape
    model.head = torch.nn.Linear(C, rows, bias=False)
    return model


def spare_rows_scored(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like spare rows taken for tokens: with a column of logits each they can be
    drawn, and be targets, and no tokenizer knows them."""
    model = pad_vocabulary(model, multiple)
    model.vocab_size = len(model.table.weight)
    return model


def table_drawn_anew(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like a new table without the old rows: what the model had learned of its tokens
    is lost."""
    model.table = torch.nn.Embedding(
        padded_size(model.vocab_size, multiple), model.head.in_features
    )
    model.head.weight = model.table.weight
    return model


def round_ones_grow(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like multiple − V % multiple: a table that is round already gets a whole
    multiple on top."""
    V = model.vocab_size
    return with_rows(model, V + multiple - V % multiple)


def multiple_added(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like V + multiple rows: the number of rows has to be one."""
    return with_rows(model, model.vocab_size + multiple)


def rounded_down(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like rounding down: the last tokens have lost their rows."""
    return with_rows(model, model.vocab_size // multiple * multiple)


def frozen(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like a table that is never trained again: Embedding.from_pretrained freezes it
    unless told otherwise."""
    model = pad_vocabulary(model, multiple)
    model.table.weight.requires_grad_(False)
    return model


def spare_rows_first(model: TiedModel, multiple: int) -> TiedModel:
    """This looks like spare rows in front: every id now finds the row of another token."""
    spare = padded_size(model.vocab_size, multiple) - model.vocab_size
    model.table.weight = torch.nn.Parameter(F.pad(model.table.weight.detach(), (0, 0, spare, 0)))
    model.head.weight = model.table.weight
    return model


def in_a_new_model(model: TiedModel, multiple: int) -> TiedModel:
    """The same in a new model, whose rows are filled from the old one."""
    V = model.vocab_size
    padded = TiedModel(padded_size(V, multiple), model.head.in_features)
    padded.table.weight.data[:V] = model.table.weight.data
    padded.vocab_size = V
    return padded


def rows_joined(model: TiedModel, multiple: int) -> TiedModel:
    """The same by joining zeros to the old rows."""
    V, C = model.table.weight.shape
    rows = torch.cat([model.table.weight.detach(), torch.zeros(-V % multiple, C)])
    model.table.weight = model.head.weight = torch.nn.Parameter(rows)
    return model


def row_by_row(model: TiedModel, multiple: int) -> TiedModel:
    """The same one row at a time, with layers made anew."""
    rows = [*model.table.weight.detach()]
    while len(rows) % multiple:
        rows.append(torch.zeros_like(rows[0]))
    model.table = torch.nn.Embedding.from_pretrained(torch.stack(rows), freeze=False)
    model.head = torch.nn.Linear(len(rows[0]), len(rows), bias=False)
    model.head.weight = model.table.weight
    return model


EXERCISE = Exercise(
    name="pad_vocabulary",
    notebook="07_pretraining_darija",
    rating=3,
    minutes=30,
    right=pad_vocabulary,
    cases=cases,
    mistakes=(
        untied,
        tied_by_copy,
        head_drawn_anew,
        spare_rows_scored,
        table_drawn_anew,
        round_ones_grow,
        multiple_added,
        rounded_down,
        frozen,
        spare_rows_first,
    ),
    also_right=(in_a_new_model, rows_joined, row_by_row),
    given=untied,
    observe=observe,
)
