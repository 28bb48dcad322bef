"""Byte-pair encoding: pre-tokenization, training and encoding, in the order of notebook 01.

Sennrich et al. 2016 (arXiv:1508.07909) on the bytes of UTF-8, as in GPT-2. Ids 0 to 255 are the
bytes; merge k makes id 256 + k. So of two merges the one that makes the smaller id is older.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, pairwise

import regex

from gptlib.errors import TokenizerError

Pair = tuple[int, int]

# GPT-2's own pattern (Radford et al. 2019, encoder.py). A piece is an English ending ('s, 'll),
# or letters, or digits, or other signs, each with the one space before it; or white space.
PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)

# No piece goes on from a letter to anything else, nor from a visible character to white space,
# so a cut there changes no piece. (?r) searches from the right: the last such place comes first.
LAST_SAFE_CUT = regex.compile(r"(?r)(?<=\p{L})(?=\P{L})|(?<=\S)(?=\s)")

CHUNK = 1 << 16  # characters encoded at a time: enough to be quick, little to hold


def pretokens(text: str) -> list[str]:
    """Cut a text into pieces, before any pair is merged; they join to the text."""
    return PATTERN.findall(text)


def check_unicode(text: str, start: int = 0) -> None:
    """Refuse a lone surrogate, which stands ``start`` characters later in a longer text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise TokenizerError(
            f"lone surrogate U+{code:04X} at position {start + error.start:,} is half a character "
            "that UTF-8 cannot write: repair the text where it was read, or drop it with "
            'text.encode("utf-8", "ignore").decode()'
        ) from None


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Cut around special tokens, the longest first: ``[plain, special, plain, …, plain]``."""
    longest_first = sorted(special_tokens, key=len, reverse=True)
    if not longest_first:
        return [text]
    return regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)


def last_safe_cut(text: str, special_tokens: Iterable[str]) -> int:
    """The last place that parts no piece and no special token, whatever follows; 0 if none."""
    longest = max(map(len, special_tokens), default=0)  # one may begin at the very end
    found = LAST_SAFE_CUT.search(text, 0, max(0, len(text) - longest))
    cut, end = found.start() if found else 0, 0
    for number, part in enumerate(split_special(text, special_tokens)):
        start, end = end, end + len(part)
        if number % 2 and start < cut < end:
            return end
    return cut


def safe_chunks(
    chunks: Iterable[str], size: int = CHUNK, special_tokens: Collection[str] = ()
) -> Iterator[str]:
    """Regroup a stream of text, cut anywhere, into chunks that cut no piece and no special token.

    They have about ``size`` characters; more only where the text itself has no place to cut, such
    as 100,000 letters in a row. Raises TokenizerError for a lone surrogate.
    """
    waiting: list[str] = []  # joined only when there is enough: joining each time is quadratic
    length, enough, start = 0, size, 0
    for block in (chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)):
        check_unicode(block, start)
        waiting.append(block)
        start, length = start + len(block), length + len(block)
        if length >= enough:
            text = "".join(waiting)
            if cut := last_safe_cut(text, special_tokens):
                yield text[:cut]
            waiting, length = [text[cut:]], length - cut
            enough = size if cut else 2 * length  # look again when it has doubled
    if waiting:
        yield "".join(waiting)


def plain_parts(texts: Iterable[str], special_tokens: Collection[str]) -> Iterator[str]:
    """What is counted in training: texts without special tokens, in chunks of whole pieces."""
    for text in texts:
        check_unicode(text)
        for plain in split_special(text, special_tokens)[::2]:
            yield from safe_chunks([plain])


def count_pretokens(texts: Iterable[str]) -> Counter[bytes]:
    """Count the distinct pieces of some texts; no piece spans two texts."""
    counts = Counter(chain.from_iterable(map(pretokens, texts)))
    return Counter({piece.encode(): count for piece, count in counts.items()})


def count_pairs(
    ids: list[int], counts: list[int]
) -> tuple[defaultdict[Pair, int], defaultdict[Pair, list[int]]]:
    """How often each pair stands in the text, and its places in ``ids``, before the first merge.

    Args:
        ids: the bytes of all distinct pieces, one piece after the other, −1 after each.
        counts: for each place in ``ids``, how often its piece stands in the text.
    """
    pair_counts: defaultdict[Pair, int] = defaultdict(int)
    places: defaultdict[Pair, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairwise(ids)):
        if -1 not in pair:
            pair_counts[pair] += counts[place]
            places[pair].append(place)
    return pair_counts, places


def merge(
    pair: Pair,
    places: list[int],
    ids: list[int],
    counts: list[int],
    tokens: list[bytes],
    pair_counts: defaultdict[Pair, int],
) -> dict[Pair, list[int]]:
    """Merge a pair in place, wherever it stands, and correct the counts of its neighbors.

    A token keeps the places of its bytes: its id stands at the first and at the last of them, −1
    in between. So both neighbors are found in one step, however long the piece.

    Args:
        pair, places: the two ids that become one, and where they stood when the pair was made.
        ids, counts, pair_counts: see :func:`count_pairs`; all but ``counts`` are changed.
        tokens: the bytes of every id; the last is the new one.

    Returns:
        the pairs that were made, with their places from left to right.
    """
    (left, right), new_id = pair, len(tokens) - 1
    made: defaultdict[Pair, list[int]] = defaultdict(list)
    for place in places:
        middle, end = place + len(tokens[left]), place + len(tokens[new_id])
        if ids[place] != left or ids[middle] != right:
            continue  # one of the two has been merged with its other neighbor
        ids[middle - 1] = ids[middle] = -1
        ids[place] = ids[end - 1] = new_id
        before, after, count = ids[place - 1], ids[end], counts[place]  # at 0: the last, a −1
        if before != -1:
            pair_counts[before, left] -= count
            pair_counts[before, new_id] += count
            made[before, new_id].append(place - len(tokens[before]))
        if after != -1:
            pair_counts[right, after] -= count
            pair_counts[new_id, after] += count
            made[new_id, after].append(place)
    return made


class Descending(bytes):
    """A token that sorts before all smaller ones: a queue hands out its smallest entry first."""

    __lt__ = bytes.__gt__


Queue = list[tuple[int, Descending, Descending, Pair]]  # (−count, left, right, their ids)


def best_pair(queue: Queue, pair_counts: Mapping[Pair, int]) -> Pair | None:
    """Take the most frequent pair; among equals, the greatest pair of byte strings.

    A pair's count only falls once its two tokens exist, so a stale entry of the queue stands too
    far in front, never too far behind: it is put back with its true count when it is met.
    """
    while queue:
        negative, left, right, pair = heapq.heappop(queue)
        count = pair_counts.get(pair, 0)
        if count == -negative:
            return pair
        if count > 0:
            heapq.heappush(queue, (-count, left, right, pair))
    return None


def train_bpe(piece_counts: Mapping[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    """Learn merges, oldest first, from distinct pieces and how often each stands in a text."""
    ids: list[int] = []
    counts: list[int] = []
    for piece, count in piece_counts.items():
        ids += [*piece, -1]
        counts += [count] * (len(piece) + 1)
    pair_counts, places = count_pairs(ids, counts)
    tokens = [bytes([byte]) for byte in range(256)]
    order = [Descending(token) for token in tokens]
    queue: Queue = [
        (-count, order[left], order[right], (left, right))
        for (left, right), count in pair_counts.items()
    ]
    heapq.heapify(queue)
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < n_merges and (pair := best_pair(queue, pair_counts)):
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        order.append(Descending(tokens[-1]))
        made = merge(pair, places.pop(pair), ids, counts, tokens, pair_counts)
        places.update(made)
        for left, right in made:
            if count := pair_counts[left, right]:
                heapq.heappush(queue, (-count, order[left], order[right], (left, right)))
    return merges


def encode_piece(piece: bytes, merges: Mapping[Pair, int]) -> list[int]:
    """The ids of one piece: at every turn the oldest merge that fits anywhere, leftmost first.

    ``merges``: pair of ids → the id that it becomes. Quadratic: see :func:`encode_long_piece`.
    """
    ids, merged = list(piece), merges.get
    never = 256 + len(merges)  # no id is that great
    # candidates[i] is what ids[i] and ids[i + 1] would become: the smallest is the oldest merge.
    candidates = [merged(pair, never) for pair in pairwise(ids)]
    while candidates and (oldest := min(candidates)) < never:
        place = candidates.index(oldest)
        ids[place] = oldest
        del ids[place + 1], candidates[place]
        if place > 0:
            candidates[place - 1] = merged((ids[place - 1], oldest), never)
        if place < len(candidates):
            candidates[place] = merged((oldest, ids[place + 1]), never)
    return ids


def encode_long_piece(piece: bytes, merges: Mapping[Pair, int]) -> list[int]:
    """The same ids in n log n steps, for 100,000 letters without a space.

    The ids stand still; ``following`` and ``preceding`` link those that are left. A heap hands
    out the oldest merge, leftmost first; what a later merge made untrue is recognized by its ids.
    """
    ids, end = list(piece), len(piece)
    following, preceding = list(range(1, end + 1)), list(range(-1, end - 1))
    heap = [(merges[pair], at, pair) for at, pair in enumerate(pairwise(ids)) if pair in merges]
    heapq.heapify(heap)
    while heap:
        new_id, place, (left, right) = heapq.heappop(heap)
        after = following[place]
        if ids[place] != left or after == end or ids[after] != right:
            continue
        ids[place], ids[after] = new_id, -1
        following[place] = following[after]
        if following[place] < end:
            preceding[following[place]] = place
        for first in (preceding[place], place):
            if first >= 0 and following[first] < end:
                pair = (ids[first], ids[following[first]])
                if pair in merges:
                    heapq.heappush(heap, (merges[pair], first, pair))
    return [token_id for token_id in ids if token_id != -1]
