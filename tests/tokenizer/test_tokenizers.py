"""What every tokenizer promises; our BPE, trained here or in Rust, its files; characters."""

import itertools
import json
import random
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_texts import ANY_TEXT, AWKWARD_TEXT, darija, texts_in_all_scripts

from gptlib.data.split import split_documents
from gptlib.errors import OutOfPairsWarning, TokenizerError, TokenOutOfRange
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer, load_tokenizer
from gptlib.tokenizer import tokenizers as module
from gptlib.tokenizer.bpe import CHUNK, plain_parts
from gptlib.tokenizer.tokenizers import decode_stream

TOY = "the theme then the hem"
SPECIAL = ["<|end|>", END_OF_TEXT, "<|end|>!"]
SCRIPTS = texts_in_all_scripts(30)
SOME_TEXT = st.text("aehtmn \u0627\u0644\u0628 \u00e9\U0001f642\n'", max_size=60)
MARKET = "وحد نهار راني رايح للسوق نشري الخبز"
BYTES = {bytes([byte]): byte for byte in range(256)}
BARE = BPETokenizer(BYTES, [])
BOTH_WAYS = pytest.mark.parametrize("fast", [False, True], ids=["ours", "rust"])


def trained(texts, vocab_size, fast):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        return BPETokenizer.train(texts, vocab_size, [END_OF_TEXT], fast)


@pytest.fixture(scope="module")
def toy():
    return BPETokenizer.train(TOY, 256 + 4 + len(SPECIAL), SPECIAL)


@pytest.fixture(params=["bpe", "gpt2", "characters"])
def every(request, toy, gpt2):
    """Each of the three in turn."""
    characters = CharacterTokenizer.train("".join(texts_in_all_scripts(20, seed=2)) + "abcdé\n")
    return {"bpe": toy, "gpt2": gpt2, "characters": characters}[request.param]


# --- what every tokenizer promises ---------------------------------------------------------


def test_ids_are_decoded_whatever_holds_them(every):
    ids = every.encode("abcd")
    text, raw = every.decode(ids), every.decode_bytes(ids)
    assert text == "abcd" and raw == b"abcd" and every.decode([]) == ""
    for kind in (np.array, torch.tensor, iter, tuple):
        assert every.decode(kind(ids)) == text and every.decode_bytes(kind(ids)) == raw
    for number in (np.int64, np.uint16, torch.tensor):
        assert every.decode([number(i) for i in ids]) == text


NO_INTEGERS = ([1.0], np.array([1.0]), torch.tensor([1.0]), torch.tensor([[1]]), "1", [None])


@pytest.mark.parametrize("ids", [*NO_INTEGERS, [1, -1], [1, 10**9], "one too many"])
def test_what_is_no_id_is_named(every, ids):
    error, said = TokenizerError, r"token id (1\.0|'1'|\[1\]|None) is no integer"
    if not any(ids is other for other in NO_INTEGERS):
        ids = ids if isinstance(ids, list) else [1, every.vocab_size]
        error, said = TokenOutOfRange, rf"id {ids[1]} .* {every.vocab_size:,} tokens"
    for decode in (every.decode, every.decode_bytes):
        with pytest.raises(error, match=said):
            decode(ids)


def test_a_lone_surrogate_is_named(every):
    with pytest.raises(TokenizerError, match=r"U\+DC80 at position 3 .*ignore"):
        every.encode("abc\udc80d")
    with pytest.raises(TokenizerError, match="at position 7 "):
        list(every.encode_iterable(["abc", "", "abca\udfffb"]))


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize("allow_special", [False, True])
def test_a_stream_has_the_ids_of_the_whole(every, size, allow_special):
    text = "\n".join(texts_in_all_scripts(20, seed=2)) + END_OF_TEXT * 12_000
    assert len(text) > 2 * CHUNK  # so it is encoded in parts, and one would end in a special token
    chunks = (text[first : first + size] for first in range(0, len(text), size))
    streamed = list(every.encode_iterable(chunks, allow_special))
    assert streamed == every.encode(text, allow_special)
    assert (every.end_of_text in streamed) is (allow_special and every.end_of_text is not None)


def test_a_text_without_a_place_to_cut_still_streams(toy):
    for size in (1, 5000):
        chunks = itertools.repeat("a" * size, 100_000 // size)
        assert list(toy.encode_iterable(chunks)) == toy.encode("a" * 100_000)


def test_ids_come_before_the_text_has_ended(every):
    taken = []
    lines = (taken.append(line) or line for line in itertools.repeat("abcd abcd\n"))
    assert len(list(itertools.islice(every.encode_iterable(lines), 100_000))) == 100_000
    assert sum(map(len, taken)) < 10 * 100_000 + 2 * CHUNK


def test_a_saved_tokenizer_is_the_same_tokenizer(every, tmp_path):
    text = f"{TOY}\n وحد نهار 🙂 \u2028\x00{END_OF_TEXT}<|end|>!"
    if isinstance(every, CharacterTokenizer):
        every = CharacterTokenizer.train(text)
    every.save(tmp_path / "saved")
    loaded = load_tokenizer(tmp_path / "saved")
    assert type(loaded) is type(every)
    for name in ("name", "fingerprint", "vocab_size", "end_of_text", "special_tokens"):
        assert getattr(loaded, name) == getattr(every, name)
    assert loaded.encode(text, allow_special=True) == every.encode(text, allow_special=True)


def test_what_ends_a_text_is_kept_by_its_name(tmp_path):
    tokenizer = BPETokenizer.from_merges([], ["<pad>", "</s>"])
    assert tokenizer.end_of_text is None
    tokenizer.roles = {"eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.roles == tokenizer.roles and loaded.end_of_text == 257


def test_equal_bytes_cut_otherwise_have_another_fingerprint():
    first, second = trained("ab", 300, False), trained("cd", 300, False)
    assert first.fingerprint != second.fingerprint and len(first.fingerprint) == 64


# --- our BPE -------------------------------------------------------------------------------


def test_the_toy_text_is_nine_tokens(toy):
    ids = toy.encode(TOY)
    expected = [b"the", b" the", b"me", b" the", b"n", b" the", b" ", b"he", b"m"]
    assert [toy.decode_bytes([i]) for i in ids] == expected
    assert toy.decode(ids) == TOY and toy.name == "bpe-263"


def test_special_tokens_have_ids_only_where_they_are_allowed(toy):
    ids = toy.encode("<|end|>!<|end|><|endoftext|>", allow_special=True)  # the longest wins
    assert ids == [toy.special_tokens[token] for token in ("<|end|>!", "<|end|>", END_OF_TEXT)]
    assert toy.end_of_text == toy.special_tokens[END_OF_TEXT] == 261
    text = "the<|end|>hem"
    assert max(toy.encode(text)) < 260 and toy.decode(toy.encode(text)) == text
    allowed = toy.encode(text, allow_special=True)
    assert allowed == [*toy.encode("the"), 260, *toy.encode("hem")]
    assert toy.decode(allowed) == text and BARE.end_of_text is None
    assert BARE.encode(END_OF_TEXT, allow_special=True) == list(END_OF_TEXT.encode())


def test_remembered_pieces_stay_bounded(toy, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 10)
    text = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300))
    assert toy.decode(toy.encode(text)) == text
    assert len(toy._known) <= 10


@pytest.mark.parametrize(
    ("vocabulary", "merges", "special", "said"),
    [
        (BYTES, [(b"a", b"b")], {}, "token b'ab' has no id"),
        (BYTES | {b"ab": 256}, [], {}, "b'ab' .* no merge makes it"),
        (BYTES | {b"ab": 257}, [(b"a", b"b")], {}, "ids of 257 tokens are not 0 to 256"),
        (BYTES | {b"abc": 256}, [(b"ab", b"c")], {}, r"merge b'ab' \+ b'c' .* before any merge"),
        (BYTES | {b"ab": 256}, [(b"a", b"b")] * 2, {}, "b'ab' is made twice"),
        (BYTES, [], {"a": 256}, "special token 'a' is empty or an ordinary token"),
        (BYTES, [], {"": 256}, "special token '' is empty"),
        (BYTES, [], {"<s>": 0}, "each once"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(vocabulary, merges, special, said):
    with pytest.raises(TokenizerError, match=said):
        BPETokenizer(vocabulary, merges, special)


# --- its training, here and in Rust --------------------------------------------------------


def test_only_ties_part_rust_from_our_own_training():
    ours, rust = trained(TOY, 260, False), trained(TOY, 260, True)  # three pairs without a tie
    assert ours.merges == rust.merges == [(b"h", b"e"), (b"t", b"he"), (b" ", b"the")]
    assert trained("ab cd", 258, False).merges == [(b"c", b"d")]  # of three, the greatest
    assert trained("ab cd", 258, True).merges == [(b"a", b"b")]  # whose bytes come first


@BOTH_WAYS
def test_neither_the_order_of_documents_nor_the_process_matters(fast):
    @settings(deadline=None, max_examples=50)
    @given(st.lists(SOME_TEXT, min_size=1, max_size=5), st.randoms(use_true_random=False))
    def check(documents, draw):
        shuffled = draw.sample(documents, len(documents))
        assert trained(documents, 290, fast).merges == trained(iter(shuffled), 290, fast).merges

    check()
    program = (
        "import json, sys; from gptlib.tokenizer import BPETokenizer;"
        f"print(BPETokenizer.train(json.load(sys.stdin), 600, fast={fast}).fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(SCRIPTS), capture_output=True, text=True
    )
    expected = BPETokenizer.train(SCRIPTS, 600, fast=fast).fingerprint
    assert done.stdout.strip() == expected, done.stderr


@BOTH_WAYS
def test_texts_are_counted_as_they_should_be(fast):
    both = [(b"a", b"b"), (b"ab", b"ab")]  # one text is one document and not its letters
    assert trained(["abab"], 300, fast).merges == trained("abab", 300, fast).merges == both
    tokenizer = BPETokenizer.train(["ab<dodo>ab<dodo>"], 258, ["<dodo>"], fast)
    assert tokenizer.merges == [(b"a", b"b")]  # special tokens are cut out
    assert tokenizer.encode("ab<dodo>", allow_special=True) == [256, 257]


@BOTH_WAYS
def test_a_text_without_more_pairs_warns_and_gives_a_smaller_vocabulary(fast):
    for texts, said, size in (("abc", "after 2 of 44 merges", 258), ([], "after 0 of 44", 256)):
        with pytest.warns(OutOfPairsWarning, match=f"no pair left {said}") as caught:
            assert BPETokenizer.train(texts, 300, fast=fast).vocab_size == size
        assert caught[0].filename == __file__  # it points at the caller's line


@BOTH_WAYS
@pytest.mark.parametrize(
    ("texts", "vocab_size", "said"),
    [
        (["fine", "ab\ud800"], 300, r"U\+D800 at position 2 "),
        ([f"{END_OF_TEXT}ab\ud800"], 300, r"U\+D800 at position 15 "),
        (None, 256, "vocab_size 256 is below 257 "),  # refused before a document is read
        (None, 10**10, "vocab_size 10,000,000,000 .* is above 1,000,000: ask for one between"),
    ],
)
def test_what_training_cannot_do_is_named(texts, vocab_size, said, fast):
    with pytest.raises(TokenizerError, match=said):
        BPETokenizer.train(texts, vocab_size, [END_OF_TEXT], fast)


@BOTH_WAYS
def test_same_merges_same_ids_as_hugging_face(fast, tmp_path):
    ours = trained(SCRIPTS, 2_000, fast)
    made = [left + right for left, right in ours.merges]
    assert ours.tokens == [*BYTES, *made, END_OF_TEXT.encode()]
    ours.save(tmp_path)
    files = str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*files))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)

    @settings(deadline=None, max_examples=200)
    @given(st.one_of(ANY_TEXT, AWKWARD_TEXT))
    def same(text):
        assert ours.encode(text) == theirs.encode(text).ids
        assert ours.decode(ours.encode(text)) == text

    same()
    for text in [*SCRIPTS, *texts_in_all_scripts(30, seed=1)]:
        assert ours.encode(text) == theirs.encode(text).ids
    theirs.add_special_tokens([END_OF_TEXT])
    text = f"a{END_OF_TEXT}b"
    assert ours.encode(text, allow_special=True) == theirs.encode(text).ids


def made_up_words(n):
    """Documents of words of the letters of Darija, some of them frequent."""
    draw, letters = random.Random(0), "ابتجحدرزسشصطعغفقكلمنهويڤڨپ"
    words = ["".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(n)]
    for start in range(0, n, 20):
        yield " ".join(draw.choices(words, k=10) + words[start : start + 20])


@pytest.mark.parametrize("size", [257, 258, 600, 10_000, 25_000])  # the last two: real projects'
def test_a_vocabulary_of_any_size_for_a_new_language(size):
    texts = made_up_words(size * 2 // 5) if size > 1000 else darija()
    tokenizer = BPETokenizer.train(texts, size, [END_OF_TEXT], fast=True)
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (size, size - 1)
    assert tokenizer.decode(tokenizer.encode(MARKET)) == MARKET


def test_darija_takes_fewer_tokens_than_with_the_vocabulary_of_gpt2(gpt2):
    training, held_out = split_documents(darija())
    assert len(held_out) > 40 and not set(held_out) & set(training)
    own = trained(training, 1_000, True)
    size = sum(len(text.encode()) for text in held_out)
    lengths = [sum(len(one.encode(text)) for text in held_out) for one in (own, gpt2)]
    assert size / lengths[1] < 2 < 3 < size / lengths[0]


def test_a_long_document_is_counted_as_if_it_were_never_cut():
    draw = random.Random(0)
    words = ["".join(draw.choices("abc", k=draw.randint(1, 12))) for _ in range(42_000)]
    long, whole = " ".join(words), tokenizers.ByteLevelBPETokenizer()
    parts = list(plain_parts([long], []))
    assert "".join(parts) == long and max(map(len, parts)) <= 2 * CHUNK  # Rust's memory follows
    whole.train_from_iterator([long], 2_256, min_frequency=0, show_progress=False)
    spelled = {word.replace("Ġ", " ").encode(): i for word, i in whole.get_vocab().items()}
    found = BPETokenizer.train(long, 2_256, fast=True).vocabulary
    assert sorted(found, key=found.get)[256:] == sorted(spelled, key=spelled.get)[256:]


@BOTH_WAYS
def test_documents_are_read_one_by_one(fast):
    line = MARKET * 1_000  # 70 kB
    tracemalloc.start()
    BPETokenizer.train((f"{line} {number}" for number in range(60)), 290, fast=fast)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < 4_000_000 < 60 * len(line) * 2


# --- files ---------------------------------------------------------------------------------


def test_the_files_are_in_the_spelling_of_gpt2(toy, tmp_path):
    toy.save(tmp_path)
    merges = (tmp_path / "merges.txt").read_text(encoding="utf-8")
    assert merges == "#version: 0.2\nh e\nt he\nĠ the\nm e\n"
    vocabulary = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert (vocabulary["Ġthe"], vocabulary["Ċ"], vocabulary["<|end|>"]) == (258, 10, 260)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("merges.txt", None, "merges.txt is not readable"),
        ("merges.txt", "#version: 0.2\nh e\nt h e\n", "line 3"),
        ("merges.txt", "\u4e00 e\n", "stands for no byte"),
        ("vocab.json", "{", "vocab.json is not readable"),
        ("vocab.json", "[" * 10**6, "vocab.json is not readable"),
        ("vocab.json", "[]", "vocab.json holds no JSON dict"),
        ("vocab.json", '{"a": 0}', "has no id"),
        ("vocab.json", '{"a": "b"}', "vocab.json holds no ids"),
        ("special_tokens_map.json", "[]", "special_tokens_map.json holds no JSON dict"),
        ("special_tokens_map.json", '{"eos_token": "the"}', "'the' is no special token"),
        ("characters.json", "[]", "characters.json holds no JSON str"),
        ("characters.json", "{", "characters.json is not readable"),
        ("characters.json", '"aa"', "each once"),
        ("characters.json", '"\\ud800"', "lone surrogate"),
        (".", None, "holds no tokenizer: give 'gpt2'"),
    ],
)
def test_damaged_files_are_named(toy, tmp_path, file, content, said):
    if file != ".":
        toy.save(tmp_path)
        (tmp_path / file).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=said) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


# --- one id per character --------------------------------------------------------------------


def test_characters_are_numbered_in_the_order_of_unicode():
    tokenizer = CharacterTokenizer.train("hello")
    assert tokenizer.encode("hello") == [1, 0, 2, 2, 3]
    assert (tokenizer.vocab_size, tokenizer.end_of_text, tokenizer.name) == (4, None, "characters")
    assert CharacterTokenizer.train(["cab", "bad"]).characters == "abcd"


@settings(deadline=None, max_examples=100)
@given(ANY_TEXT.filter(bool))
def test_a_text_that_was_trained_on_comes_back(text):
    tokenizer = CharacterTokenizer.train(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)


def test_what_is_no_alphabet_or_not_in_it_is_named():
    tokenizer = CharacterTokenizer.train("hello")
    for encode in (tokenizer.encode, lambda text: list(tokenizer.encode_iterable([text]))):
        with pytest.raises(TokenizerError, match=r"'é' \(U\+00E9\) in 'hé' is not among the 4"):
            encode("hé")
    for characters, said in (("", "each once"), ("aa", "each once"), ("a\ud800", r"U\+D800")):
        with pytest.raises(TokenizerError, match=said):
            CharacterTokenizer(characters)


# --- text as it comes ------------------------------------------------------------------------


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(0, 255), max_size=30) | ANY_TEXT.map(lambda t: list(t.encode())))
def test_streamed_text_joins_to_the_whole(ids):
    parts = list(decode_stream(BARE, ids))
    assert "".join(parts) == BARE.decode(ids) and all(parts)


def test_text_is_streamed_as_soon_as_it_is_whole():
    def ids():
        yield from "hé".encode()
        raise AssertionError("asked for more before showing what was whole")

    assert list(itertools.islice(decode_stream(BARE, ids()), 2)) == ["h", "é"]
    assert list(decode_stream(BARE, b"ab\xd9")) == ["a", "b", "�"]  # it never ends
