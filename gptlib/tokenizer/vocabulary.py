"""Whether merges, ids and special tokens fit together, said before anything is encoded."""

from collections.abc import Iterable, Mapping, Sequence

from gptlib.errors import TokenizerError
from gptlib.tokenizer.spelling import BytePair, spell
from gptlib.tokenizer.training import Pair

MOST_TOKENS = 1_000_000  # more is a slip of the pen: the largest vocabularies have a quarter


def room_for_merges(vocab_size: int, special_tokens: Sequence[str]) -> int:
    """How many merges a vocabulary holds beside the 256 bytes and its special tokens.

    Raises:
        TokenizerError: there is no room for the bytes, or more than any language fills.
    """
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise TokenizerError(
            f"vocab_size {vocab_size:,} is below 256 bytes + {len(special_tokens)} special "
            f"tokens: ask for {smallest:,} or more"
        )
    if vocab_size > MOST_TOKENS:
        raise TokenizerError(
            f"vocab_size {vocab_size:,} is above {MOST_TOKENS:,}: ask for fewer; GPT-2 has 50,257"
        )
    return vocab_size - smallest


def replay(merges: Iterable[BytePair]) -> tuple[list[bytes], dict[Pair, int]]:
    """Number tokens in the order in which merging makes them: the 256 bytes, then merge by merge.

    Args:
        merges: pairs of tokens, oldest first.

    Returns:
        the bytes of token 0, 1, 2, … in this numbering, and pair of numbers → number made.

    Raises:
        TokenizerError: a merge uses a token that is not there yet, or makes one that is.
    """
    numbers = {bytes([byte]): byte for byte in range(256)}
    merged: dict[Pair, int] = {}
    for left, right in merges:
        for half in (left, right):
            if half not in numbers:
                raise TokenizerError(
                    f"merge {left!r} + {right!r} uses {half!r} before any merge made it: "
                    "keep the merges in the order of training"
                )
        if left + right in numbers:
            raise TokenizerError(f"token {left + right!r} is made twice: drop the later merge")
        merged[numbers[left], numbers[right]] = numbers[left + right] = len(numbers)
    return list(numbers), merged


def check_vocabulary(
    vocabulary: Mapping[bytes, int], tokens: Sequence[bytes], special_tokens: Mapping[str, int]
) -> None:
    """Refuse ids that do not belong to the tokens one to one.

    Args:
        vocabulary: the bytes of each ordinary token → its id.
        tokens: the ordinary tokens that bytes and merges make.
        special_tokens: each special token → its id.

    Raises:
        TokenizerError: names the token without an id, the id without a token, or the gap.
    """
    for token in tokens:
        if token not in vocabulary:
            raise TokenizerError(f"token {token!r} has no id: add it to the vocabulary")
    for token in vocabulary.keys() - set(tokens):
        raise TokenizerError(f"no merge makes token {token!r}: add the merge or drop the token")
    spelled = {spell(token) for token in tokens}  # vocab.json could not tell such two apart
    for special in special_tokens:
        if special in spelled or not special:
            raise TokenizerError(
                f"special token {special!r} is empty or an ordinary token: choose another"
            )
    ids = [*vocabulary.values(), *special_tokens.values()]
    if sorted(ids) != list(range(len(ids))):
        raise TokenizerError(
            f"the ids of {len(ids):,} tokens are not 0 to {len(ids) - 1:,}, each once: "
            "number them without gaps"
        )
