"""Training byte-pair encoding: which neighbours become one token, oldest merge first.

Sennrich et al. 2016 (arXiv:1508.07909) on the bytes of UTF-8, as in GPT-2. Ids 0 to 255 are the
bytes; merge k makes id 256 + k. The counts of pairs are not taken anew after every merge: only
the pieces that hold the merged pair are visited, which gives the same merges in far less time.
"""

import heapq
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from gptlib.errors import OutOfPairsWarning
from gptlib.tokenizer.interface import check_unicode
from gptlib.tokenizer.pieces import PATTERN, split_special

Pair = tuple[int, int]
Queue = list[tuple[int, str, Pair]]  # (−count, order among equal counts, pair)

# Characters 255 − byte, so that the greatest bytes come first in a queue of smallest first.
OPPOSITE = {byte: 255 - byte for byte in range(256)}
END = chr(256)  # greater than every opposite byte: a longer token comes before its own beginning


def count_pieces(texts: Iterable[str], special_tokens: Iterable[str] = ()) -> Counter[bytes]:
    """Count the pieces of some documents; special tokens are cut out, and no piece spans two.

    Raises:
        TokenizerError: a text holds a lone surrogate.
    """
    special_tokens = tuple(special_tokens)
    counts: Counter[str] = Counter()
    for text in texts:
        check_unicode(text)
        for plain in split_special(text, special_tokens)[::2]:
            counts.update(PATTERN.findall(plain))
    return Counter({piece.encode(): count for piece, count in counts.items()})


def count_pairs(
    pieces: list[list[int]], counts: list[int]
) -> tuple[defaultdict[Pair, int], defaultdict[Pair, list[int]]]:
    """Count neighbours once, before the first merge.

    Args:
        pieces: the distinct pieces, each a list of ids.
        counts: how often each piece stands in the text.

    Returns:
        how often each pair stands in the text, and the numbers of the pieces that hold it; a
        piece that holds a pair twice is named twice.
    """
    pair_counts: defaultdict[Pair, int] = defaultdict(int)
    holders: defaultdict[Pair, list[int]] = defaultdict(list)
    for number, (ids, count) in enumerate(zip(pieces, counts, strict=True)):
        for pair in pairwise(ids):
            pair_counts[pair] += count
            holders[pair].append(number)
    return pair_counts, holders


def tie_order(token: bytes) -> str:
    """A string that sorts tokens from the lexicographically greatest to the least."""
    return token.decode("latin-1").translate(OPPOSITE) + END


def best_pair(queue: Queue, pair_counts: Mapping[Pair, int]) -> Pair | None:
    """Take the most frequent pair; among equals, the greatest pair of byte strings.

    A pair's count only falls once its two tokens exist, so a stale entry of the queue stands too
    far in front, never too far behind: it is put back with its true count when it is met.
    """
    while queue:
        negative, order, pair = heapq.heappop(queue)
        count = pair_counts.get(pair, 0)
        if count == -negative:
            return pair
        if count > 0:
            heapq.heappush(queue, (-count, order, pair))
    return None


def merge(
    ids: list[int],
    pair: Pair,
    new_id: int,
    count: int,
    pair_counts: defaultdict[Pair, int],
) -> list[Pair]:
    """Merge a pair in one piece, in place, and correct the counts of the neighbours it had.

    Args:
        ids: the piece; nothing happens where it does not hold the pair (any more).
        pair: the two ids that become one.
        new_id: that one.
        count: how often the piece stands in the text.
        pair_counts: corrected here, except for ``pair`` itself: nobody asks for it again.

    Returns:
        the pairs that were made.
    """
    left, right = pair
    made = []
    place = 0
    while place < len(ids) - 1:
        if ids[place] == left and ids[place + 1] == right:
            ids[place : place + 2] = [new_id]
            if place > 0:
                before = ids[place - 1]
                pair_counts[before, left] -= count
                pair_counts[before, new_id] += count
                made.append((before, new_id))
            if place < len(ids) - 1:
                after = ids[place + 1]
                pair_counts[right, after] -= count
                pair_counts[new_id, after] += count
                made.append((new_id, after))
        place += 1
    return made


def train_bpe(piece_counts: Mapping[bytes, int], n_merges: int) -> list[Pair]:
    """Learn merges from counted pieces.

    Args:
        piece_counts: the distinct pieces of the text and how often each stands there.
        n_merges: how many merges to learn.

    Returns:
        the merges, oldest first; fewer than asked, with an OutOfPairsWarning, when every piece
        has become one token. The same text always gives the same merges.
    """
    pieces = [list(piece) for piece in piece_counts]
    counts = list(piece_counts.values())
    pair_counts, holders = count_pairs(pieces, counts)
    tokens = [bytes([byte]) for byte in range(256)]
    order = [tie_order(token) for token in tokens]
    queue: Queue = [
        (-count, order[left] + order[right], (left, right))
        for (left, right), count in pair_counts.items()
    ]
    heapq.heapify(queue)
    merges: list[Pair] = []
    for new_id in range(256, 256 + n_merges):
        pair = best_pair(queue, pair_counts)
        if pair is None:
            warn_out_of_pairs(len(merges), n_merges)
            break
        merges.append(pair)
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        order.append(tie_order(tokens[new_id]))
        made: defaultdict[Pair, list[int]] = defaultdict(list)  # with the pieces that hold them
        for number in holders.pop(pair):
            for new_pair in merge(pieces[number], pair, new_id, counts[number], pair_counts):
                made[new_pair].append(number)
        holders.update(made)
        for left, right in made:
            if count := pair_counts[left, right]:
                heapq.heappush(queue, (-count, order[left] + order[right], (left, right)))
    return merges


def warn_out_of_pairs(learned: int, wanted: int) -> None:
    """Say how far training came; the vocabulary is complete for this text all the same."""
    warnings.warn(
        f"the text has no pair left after {learned:,} of {wanted:,} merges: the vocabulary is "
        "smaller than asked for; train on more text or ask for a smaller one",
        OutOfPairsWarning,
        stacklevel=4,
    )
