"""A vocabulary trained in Rust: greedy merges, our files and ids, and what it is for: Darija."""

import json
import random
import subprocess
import sys
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, texts_in_all_scripts

from gptlib.data.split import split_documents
from gptlib.errors import OutOfPairsWarning, TokenizerError
from gptlib.tokenizer import BPETokenizer, Tokenizer, load_tokenizer, train_tokenizer
from gptlib.tokenizer.bpe import END_OF_TEXT
from gptlib.tokenizer.language import learn_merges, plain_parts
from gptlib.tokenizer.pieces import PART_SIZE
from gptlib.tokenizer.spelling import spell
from gptlib.tokenizer.training import count_pieces

DARIJA = Path(__file__).parent.parent / "data" / "sample-darija.jsonl"
MARKET = "وحد نهار راني رايح للسوق نشري الخبز"


def darija() -> list[str]:
    lines = DARIJA.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


TRAINING, HELD_OUT = split_documents(darija())
SCRIPTS = texts_in_all_scripts(30)
SOME_TEXT = st.text("aehtmn \u0627\u0644\u0628 \u00e9\U0001f642\n'", max_size=60)


@pytest.fixture(scope="module")
def rust_trained() -> BPETokenizer:
    return train_tokenizer(SCRIPTS, 2_000)


@pytest.fixture(scope="module")
def ours_trained() -> BPETokenizer:
    return BPETokenizer.train(SCRIPTS, 2_000, [END_OF_TEXT])


def quietly(documents: list[str], vocab_size: int) -> BPETokenizer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        return train_tokenizer(documents, vocab_size)


def in_rust(tokenizer: BPETokenizer, folder: Path) -> tokenizers.Tokenizer:
    """Hugging Face's tokenizer on the files that ours has written."""
    tokenizer.save(folder)
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*files))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return theirs


def bytes_per_token(tokenizer: Tokenizer, texts: list[str]) -> float:
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    return sum(len(text.encode()) for text in texts) / tokens


# --- the merges ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(st.lists(SOME_TEXT, max_size=4), st.integers(0, 40))
def test_every_merge_is_of_a_most_frequent_pair(documents: list[str], n_merges: int) -> None:
    """The definition, by counting all pairs anew: greatest at its turn, until none is left."""
    tokenizer = quietly(documents, 257 + n_merges)
    pieces = count_pieces(documents)
    words = {piece: [bytes([byte]) for byte in piece] for piece in pieces}
    for merge in tokenizer.merges:
        counts = pair_counts(words, pieces)
        assert counts[merge] == max(counts.values())
        for word in words.values():
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == merge:
                    word[place : place + 2] = [merge[0] + merge[1]]
                place += 1
    assert len(tokenizer.merges) == n_merges or not pair_counts(words, pieces)


def pair_counts(words: dict[bytes, list[bytes]], pieces: Counter[bytes]) -> Counter:
    counts: Counter[tuple[bytes, bytes]] = Counter()
    for piece, word in words.items():
        for pair in pairwise(word):
            counts[pair] += pieces[piece]
    return counts


def test_only_ties_part_it_from_our_own_training() -> None:
    toy = "the theme then the hem"  # three pairs in turn stand alone at the top
    ours, rust = BPETokenizer.train(toy, 260, [END_OF_TEXT]), train_tokenizer(toy, 260)
    assert ours.merges == rust.merges == [(b"h", b"e"), (b"t", b"he"), (b" ", b"the")]
    ours, rust = BPETokenizer.train("ab cd", 258, [END_OF_TEXT]), train_tokenizer("ab cd", 258)
    assert ours.merges == [(b"c", b"d")]  # of three pairs that stand there once, the greatest
    assert rust.merges == [(b"a", b"b")]  # the one whose bytes come first


@settings(deadline=None, max_examples=50)
@given(st.lists(SOME_TEXT, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_matter(documents: list[str], draw: random.Random) -> None:
    shuffled = draw.sample(documents, len(documents))
    assert quietly(documents, 290).merges == quietly(shuffled, 290).merges


def test_another_process_learns_the_same() -> None:
    program = (
        "import json, sys; from gptlib.tokenizer import train_tokenizer;"
        "print(train_tokenizer(json.load(sys.stdin), 2_000).fingerprint)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(SCRIPTS),
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == train_tokenizer(SCRIPTS, 2_000).fingerprint, done.stderr


def test_one_text_is_one_document_and_not_its_letters() -> None:
    assert quietly(["abab"], 300).merges == quietly("abab", 300).merges  # type: ignore[arg-type]
    assert quietly(["abab"], 300).merges == [(b"a", b"b"), (b"ab", b"ab")]


# --- the ids -------------------------------------------------------------------------------


def test_bytes_then_merges_then_end_of_text(rust_trained: BPETokenizer) -> None:
    assert rust_trained.vocab_size == 2_000
    assert [rust_trained.decode_bytes([i]) for i in range(256)] == [bytes([i]) for i in range(256)]
    made = [left + right for left, right in rust_trained.merges]
    assert [rust_trained.decode_bytes([i]) for i in range(256, 1_999)] == made
    assert rust_trained.end_of_text == 1_999
    assert rust_trained.encode(END_OF_TEXT, allow_special=True) == [1_999]


@pytest.mark.parametrize("trained_by", ["rust_trained", "ours_trained"])
def test_same_merges_same_ids_in_all_scripts(
    trained_by: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer = request.getfixturevalue(trained_by)
    theirs = in_rust(tokenizer, tmp_path)

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(ANY_TEXT, AWKWARD_TEXT, st.sampled_from(SCRIPTS)))
    def same(text: str) -> None:
        assert tokenizer.encode(text) == theirs.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text

    same()
    for text in [*SCRIPTS, *texts_in_all_scripts(30, seed=1)]:
        assert tokenizer.encode(text) == theirs.encode(text).ids
    theirs.add_special_tokens([END_OF_TEXT])
    ids = tokenizer.encode(f"a{END_OF_TEXT}b", allow_special=True)
    assert ids == theirs.encode(f"a{END_OF_TEXT}b").ids


def test_a_saved_vocabulary_is_the_same_tokenizer(
    rust_trained: BPETokenizer, tmp_path: Path
) -> None:
    rust_trained.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.fingerprint == rust_trained.fingerprint
    assert loaded.end_of_text == rust_trained.end_of_text
    for text in SCRIPTS:
        assert loaded.encode(text) == rust_trained.encode(text)


# --- sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [257, 258, 600])
def test_small_vocabularies_from_the_bundled_lines(size: int) -> None:
    tokenizer = train_tokenizer(TRAINING, size)
    assert tokenizer.vocab_size == size and tokenizer.name == f"bpe-{size}"
    assert tokenizer.decode(tokenizer.encode("وحد نهار")) == "وحد نهار"


def made_up_words(n: int) -> Iterator[str]:
    """Documents of words of the letters of Darija, some of them frequent."""
    draw, letters = random.Random(0), "ابتجحدرزسشصطعغفقكلمنهويڤڨپ"
    words = ["".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(n)]
    for start in range(0, n, 20):
        yield " ".join(draw.choices(words, k=10) + words[start : start + 20])


@pytest.mark.parametrize("size", [10_000, 25_000])
def test_the_vocabularies_of_the_replaced_projects(size: int) -> None:
    tokenizer = train_tokenizer(made_up_words(size * 2 // 5), size)
    assert tokenizer.vocab_size == size and tokenizer.end_of_text == size - 1
    assert tokenizer.decode(tokenizer.encode(MARKET)) == MARKET


def test_darija_takes_fewer_tokens_than_with_the_vocabulary_of_gpt2() -> None:
    tokenizer = train_tokenizer(TRAINING, 1_000)
    gpt2 = load_tokenizer("gpt2")
    own, english = (bytes_per_token(choice, HELD_OUT) for choice in (tokenizer, gpt2))
    assert len(HELD_OUT) > 40 and not set(HELD_OUT) & set(TRAINING)
    assert english < 2 < 3 < own
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in HELD_OUT)


# --- what is refused, and what is not counted ----------------------------------------------


def test_a_text_too_small_for_the_size_warns_and_gives_a_smaller_vocabulary() -> None:
    said = "no pair left after 2 of 43 merges"
    with pytest.warns(OutOfPairsWarning, match=said) as caught:
        tokenizer = train_tokenizer(["abc"], 300)
    assert tokenizer.vocab_size == 259
    assert caught[0].filename == __file__  # it points at the caller's line
    with pytest.warns(OutOfPairsWarning, match="after 0 of 43"):
        assert train_tokenizer([], 300).vocab_size == 257


def test_sizes_beyond_reason_are_refused_before_a_document_is_read() -> None:
    def unread() -> Iterator[str]:
        raise AssertionError("read")
        yield ""

    for size, said in ((256, "ask for 257 or more"), (10**10, "above 1,000,000: ask for fewer")):
        with pytest.raises(TokenizerError, match=said):
            train_tokenizer(unread(), size)


def test_a_lone_surrogate_is_named() -> None:
    with pytest.raises(TokenizerError, match=r"U\+D800 at position 2"):
        train_tokenizer(["fine", "ab\ud800"], 300)
    with pytest.raises(TokenizerError, match=r"U\+D800 at position 15"):
        train_tokenizer([f"{END_OF_TEXT}ab\ud800"], 300)


def test_end_of_text_is_cut_out_before_counting() -> None:
    tokenizer = quietly([f"ab{END_OF_TEXT}ab{END_OF_TEXT}"], 300)
    assert tokenizer.merges == [(b"a", b"b")]
    assert not any("end" in spell(token) for token in tokenizer.vocabulary)


def test_a_long_document_is_counted_as_if_it_were_never_cut() -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abc", k=draw.randint(1, 12))) for _ in range(42_000)]
    long = " ".join(words)
    assert len(long) > 4 * PART_SIZE
    assert max(map(len, plain_parts([long]))) <= 2 * PART_SIZE  # Rust's memory follows the parts
    assert train_tokenizer(long, 2_257).merges == learn_merges([long], 2_000)


def test_documents_are_read_one_by_one() -> None:
    line = MARKET * 1_000  # 70 kB

    def lines() -> Iterator[str]:
        for number in range(60):
            yield f"{line} {number}"

    tracemalloc.start()
    train_tokenizer(lines(), 290)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < 4_000_000 < 60 * len(line) * 2
