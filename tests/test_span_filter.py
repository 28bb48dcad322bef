"""A filter never forgets a hash and seldom makes one up; what is exact agrees with numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data import span_filter
from gptlib.data.span_filter import SpanFilter, among, distinct

HASHES = st.lists(st.integers(0, (1 << 64) - 1), max_size=60)


def array(hashes):
    return np.array(hashes, dtype=np.uint64)


@given(blocks=st.lists(HASHES, max_size=4), n=st.integers(0, 100))
def test_what_was_added_is_held(blocks, n):
    wanted = SpanFilter(n)
    for hashes in blocks:
        wanted.add(array(hashes))
    for hashes in blocks:
        assert wanted.may_hold(array(hashes)).all()


@pytest.mark.parametrize("n", [1000, 70_000, 130_000])
def test_one_hash_in_seventy_is_taken_for_another_at_most(n):
    luck = np.random.Generator(np.random.Philox(1))
    hashes, others = luck.integers(0, 1 << 64, (2, n), dtype=np.uint64)
    wanted = SpanFilter(n)
    wanted.add(hashes)
    assert wanted.may_hold(others).mean() < 1 / 70 + 4 * (1 / 70 / n) ** 0.5
    assert not SpanFilter(n).may_hold(others).any()


@given(blocks=st.lists(HASHES, max_size=6), waiting=st.integers(0, 50))
def test_distinct_hashes_are_numpys(blocks, waiting):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_filter, "WAITING", waiting)
        found = distinct(array(hashes) for hashes in blocks)
    expected = np.unique(np.concatenate([array([]), *map(array, blocks)]))
    assert found.tolist() == expected.tolist()


@given(hashes=HASHES, known=HASHES, both=HASHES)
def test_those_among_others_are_numpys(hashes, known, both):
    hashes, known = array(hashes + both), np.unique(array(known + both))
    assert among(hashes, known).tolist() == np.isin(hashes, known).tolist()
