"""Encoding one piece: replay the merges, oldest first, on bytes that are not yet merged.

``merges`` maps a pair of ids to the id that it becomes. Merge k makes id 256 + k, so that id is
also the merge's rank: of two possible merges, the one that makes the smaller id is older.
"""

import heapq
from collections.abc import Mapping
from itertools import pairwise

from gptlib.tokenizer.training import Pair

NEVER = 1 << 40  # greater than any id: this pair is never merged
LONG = 256  # bytes; from here on searching the whole piece for every merge costs too much


def encode_piece(piece: bytes, merges: Mapping[Pair, int]) -> list[int]:
    """The ids of one piece.

    Args:
        piece: its bytes; none gives no ids.
        merges: pair of ids → id.

    Returns:
        the ids: at every turn the oldest merge that fits anywhere, leftmost first.
    """
    if len(piece) > LONG:
        return encode_long_piece(piece, merges)
    ids = list(piece)
    merged = merges.get
    # candidates[i] is what ids[i] and ids[i + 1] would become: the smallest is the oldest merge.
    candidates = [merged(pair, NEVER) for pair in pairwise(ids)]
    while candidates:
        oldest = min(candidates)
        if oldest == NEVER:
            break
        place = candidates.index(oldest)
        ids[place] = oldest
        del ids[place + 1], candidates[place]
        if place > 0:
            candidates[place - 1] = merged((ids[place - 1], oldest), NEVER)
        if place < len(candidates):
            candidates[place] = merged((oldest, ids[place + 1]), NEVER)
    return ids


def encode_long_piece(piece: bytes, merges: Mapping[Pair, int]) -> list[int]:
    """The same ids in n log n steps, for 100,000 letters without a space.

    The ids stand still; ``following`` and ``preceding`` link those that are left. A heap hands
    out the oldest merge, leftmost first; what a later merge made untrue is recognised by its ids.
    """
    ids: list[int] = list(piece)
    end = len(ids)
    following = list(range(1, end + 1))
    preceding = list(range(-1, end - 1))
    heap = [
        (merges[pair], place, pair) for place, pair in enumerate(pairwise(ids)) if pair in merges
    ]
    heapq.heapify(heap)
    gone = -1
    while heap:
        new_id, place, (left, right) = heapq.heappop(heap)
        after = following[place]
        if ids[place] != left or after == end or ids[after] != right:
            continue
        ids[place], ids[after] = new_id, gone
        following[place] = following[after]
        if following[place] < end:
            preceding[following[place]] = place
        for first in (preceding[place], place):
            if first < 0 or following[first] == end:
                continue
            pair = (ids[first], ids[following[first]])
            if pair in merges:
                heapq.heappush(heap, (merges[pair], first, pair))
    return [token for token in ids if token != gone]
