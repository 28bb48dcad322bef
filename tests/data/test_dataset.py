"""Windows of ids in memory and on the disk, and the order in which they are seen."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from gptlib.data.dataset import (
    TokenDataset,
    TokenShards,
    encode_documents,
    epoch_order,
    fingerprint,
)
from gptlib.errors import ConfigError, TextTooShort

PARTS = st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=9), min_size=1, max_size=6)


def lists(pair):
    """x and y as lists."""
    return [part.tolist() for part in pair]


def shards_of(parts, known="of a test"):
    return TokenShards([np.array(part, dtype="<u2") for part in parts], 65_536, known)


# Windows


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 60))
def test_they_equal_a_plain_loop(context_length, stride, extra):
    ids = [7 * place % 101 for place in range(context_length + 1 + extra)]
    starts = [s for s in range(0, len(ids), stride) if s + context_length + 1 <= len(ids)]
    data = TokenDataset(ids, context_length, stride)
    assert len(data) == len(starts)
    assert lists(data[:]) == [
        [ids[s : s + context_length] for s in starts],
        [ids[s + 1 : s + context_length + 1] for s in starts],
    ]


def test_the_verdict_gives_72_and_8_windows_that_ask_for_every_id_once():
    assert [len(TokenDataset(range(n), 64)) for n in (4_630, 515)] == [72, 8]
    _, y = TokenDataset(range(4_630), 64)[:]
    assert y.flatten().tolist() == list(range(1, 72 * 64 + 1))


@pytest.mark.parametrize("rows", [0, slice(1), [0]], ids=str)
def test_windows_share_no_memory_with_the_ids_or_each_other(rows):
    ids = torch.arange(20)
    x, y = TokenDataset(ids, 4)[rows]
    assert x.dtype == y.dtype == torch.int64 and x.is_contiguous() and y.is_contiguous()
    x.zero_()
    assert ids.tolist() == list(range(20)) and y.min() > 0


def test_a_window_and_its_last_target_just_fit():
    assert lists(TokenDataset([5, 6, 7], context_length=2)[0]) == [[5, 6], [6, 7]]
    with pytest.raises(TextTooShort, match=r"^64 ids .* need 65: use a longer text"):
        TokenDataset(range(64), 64)


@pytest.mark.parametrize(("context_length", "stride"), [(0, 1), (4, 0), (4, -1)])
def test_lengths_below_one_are_refused(context_length, stride):
    with pytest.raises(ConfigError, match="1 or more"):
        TokenDataset(range(10), context_length, stride)


# Several files as one line


@given(parts=PARTS, data=st.data())
@settings(deadline=None)
def test_any_stretch_reads_as_if_there_were_no_files(parts, data):
    line, shards = [i for part in parts for i in part], shards_of(parts)
    places = st.integers(-len(line) - 2, len(line) + 2) | st.none()
    stretch = slice(data.draw(places), data.draw(places))
    assert shards[stretch].tolist() == line[stretch] and shards[stretch].dtype == torch.int64
    assert len(shards) == len(line)


@given(parts=PARTS, context_length=st.integers(1, 12), stride=st.integers(1, 12) | st.none())
@settings(deadline=None)
def test_windows_on_the_disk_are_those_in_memory(parts, context_length, stride):
    line = torch.tensor([i for part in parts for i in part])
    try:
        memory = TokenDataset(line, context_length, stride)
    except TextTooShort as problem:
        with pytest.raises(TextTooShort) as caught:
            TokenDataset(shards_of(parts), context_length, stride)
        assert str(caught.value) == str(problem)
        return
    disk, n = TokenDataset(shards_of(parts), context_length, stride), len(memory)
    twin = TensorDataset(*memory[:])  # another's reading of rows
    some = torch.randint(-n, n, (5,))
    assert len(disk) == n
    for rows in (slice(None), slice(0, None, 2), slice(-1, None), 0, n - 1, some, [0, -1]):
        assert lists(disk[rows]) == lists(memory[rows]) == lists(twin[rows])
    for row in (n, -n - 1, [0, n]):
        with pytest.raises(IndexError):
            disk[row]
    assert lists(disk.get_batch(3, 4, seed=1)) == lists(memory.get_batch(3, 4, seed=1))


# The order


@given(st.integers(1, 50), st.integers(0, 2**32), st.integers(0, 100))
def test_an_epoch_visits_each_window_once(n, seed, epoch):
    assert sorted(epoch_order(n, seed, epoch)) == list(range(n))


def test_every_epoch_and_every_seed_has_its_own_order_that_nobody_can_change():
    orders = {tuple(epoch_order(30, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25  # seed + epoch as one number would give 9
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(30, 4, 4)[0] = 1


def test_the_order_is_the_same_in_every_process_and_as_ever():
    assert "".join(map(str, epoch_order(8, 3, 2))) == "76451032"


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 40))
def test_batches_follow_one_line_of_epochs_from_any_position(n, batch_size, position):
    data = TokenDataset(range(n + 1), 1)  # each window is its number
    line = [int(row) for epoch in range(80) for row in epoch_order(n, 5, epoch)]
    x, y = data.get_batch(position, batch_size, seed=5)
    assert x[:, 0].tolist() == line[position : position + batch_size]
    assert torch.equal(y, x + 1)


def test_a_subset_has_the_windows_named_and_no_other():
    data = TokenDataset(range(101), 10)
    assert lists(data.subset([7, 7, -1])[:]) == lists(data[[7, 7, 9]])
    _, y = data.subset(range(5, 10)).get_batch(0, 5, seed=1)
    assert sorted(y[:, -1].tolist()) == [60, 70, 80, 90, 100]


# Fingerprints


def test_equal_windows_have_equal_fingerprints_and_others_have_others():
    parts = [[1, 2, 3, 4], list(range(5, 50))]
    line = [i for part in parts for i in part]
    memory = [
        *([TokenDataset(line, 4)], [TokenDataset(line, 4), TokenDataset(line, 4)]),
        *([TokenDataset(line, 4, 2)], [TokenDataset(line, 5)], [TokenDataset(line[1:], 4)]),
        [TokenDataset(line, 4).subset(range(1, 9))],
    ]
    disk = [
        *([TokenDataset(shards_of(parts), 4)], [TokenDataset(shards_of(parts), 4, 2)]),
        *([TokenDataset(shards_of(parts, "other"), 4)], [TokenDataset(shards_of(parts), 5)]),
    ]
    found = [fingerprint(*some) for some in (*memory, *disk)]
    assert len(set(found)) == len(found) == 10
    assert fingerprint(TokenDataset(torch.tensor(line), 4)) == found[0]
    assert fingerprint(TokenDataset(shards_of(parts), 4).subset(range(1, 9))) == found[5]


def test_fingerprints_are_those_that_older_checkpoints_hold():
    memory, disk = TokenDataset([3, 1, 4, 1, 5], 2), TokenDataset(shards_of([[3, 1], [4, 1, 5]]), 2)
    ids = b"".join(np.array(part, "<i8").tobytes() for part in ([3, 1, 4, 1], [1, 4, 1, 5]))
    assert fingerprint(memory, memory) == hashlib.sha256(2 * ids).hexdigest()
    told = "of a test (2, 2) 2 0of a test (2, 2) 2 1"
    assert fingerprint(memory, disk) == hashlib.sha256(ids + told.encode()).hexdigest()


# Documents on one line


class Letters:
    """A tokenizer of one id a letter."""

    def __init__(self, end_of_text):
        self.end_of_text = end_of_text

    def encode(self, text):
        return [ord(letter) for letter in text]


@pytest.mark.parametrize(
    ("end", "documents", "ids"),
    [
        (0, ["ab", "c", "d"], [97, 98, 0, 99, 0, 100]),
        (0, ["abc"], [97, 98, 99]),
        (None, ["ab", "c"], [97, 98, 99]),
    ],
)
def test_the_end_of_text_stands_between_documents_if_there_is_one(end, documents, ids):
    assert encode_documents(Letters(end), documents) == ids
