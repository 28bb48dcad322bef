"""Windows: T inputs, and T targets one id later."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data.windows import encode_documents, windows
from gptlib.errors import ConfigError, TextTooShort


def test_ten_ids_by_hand():
    x, y = windows(range(10), context_length=4)
    assert x.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert y.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_smaller_stride_overlaps():
    x, y = windows(range(10), context_length=4, stride=3)
    assert x.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert y[:, -1].tolist() == [4, 7]


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 60))
def test_they_equal_a_plain_loop(context_length, stride, extra):
    ids = [7 * place % 101 for place in range(context_length + 1 + extra)]
    starts = [s for s in range(0, len(ids), stride) if s + context_length + 1 <= len(ids)]
    x, y = windows(ids, context_length, stride)
    assert x.tolist() == [ids[s : s + context_length] for s in starts]
    assert y.tolist() == [ids[s + 1 : s + context_length + 1] for s in starts]
    assert x.dtype == y.dtype == torch.int64


def test_the_verdict_gives_72_and_8_windows():
    assert [len(windows(range(n), 64)[0]) for n in (4_630, 515)] == [72, 8]


def test_with_stride_t_every_id_is_predicted_once():
    _, y = windows(range(4_630), 64)
    assert y.flatten().tolist() == list(range(1, 72 * 64 + 1))


def test_windows_do_not_share_memory_with_the_ids():
    ids = torch.arange(20)
    x, y = windows(ids, 4)
    x.zero_()
    assert ids.tolist() == list(range(20)) and y.min() > 0


def test_a_window_and_its_last_target_just_fit():
    x, y = windows([5, 6, 7], context_length=2)
    assert x.tolist() == [[5, 6]] and y.tolist() == [[6, 7]]


def test_a_short_text_names_both_numbers():
    with pytest.raises(TextTooShort, match=r"^64 ids .* need 65: use a longer text"):
        windows(range(64), 64)


@pytest.mark.parametrize(("context_length", "stride"), [(0, 1), (4, 0), (4, -1)])
def test_lengths_below_one_are_refused(context_length, stride):
    with pytest.raises(ConfigError, match="1 or more"):
        windows(range(10), context_length, stride)


class Letters:
    """A tokenizer of one id a letter."""

    def __init__(self, end_of_text):
        self.end_of_text = end_of_text

    def encode(self, text):
        return [ord(letter) for letter in text]


def test_the_end_of_text_stands_between_documents():
    assert encode_documents(Letters(0), ["ab", "c", "d"]) == [97, 98, 0, 99, 0, 100]


def test_one_document_is_encoded_as_it_is():
    assert encode_documents(Letters(0), ["abc"]) == [97, 98, 99]


def test_a_tokenizer_without_an_end_of_text_joins_documents():
    assert encode_documents(Letters(None), ["ab", "c"]) == [97, 98, 99]
