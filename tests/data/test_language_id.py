"""Rows have the language that a reader gives them, by script first, by function words then."""

import json
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib import environment
from gptlib.data.language_id import arabic_share, darija_score, detect_language


def rows_in(name):
    """Pairs of a language and a row that has it."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [tuple(json.loads(line)) for line in lines]


def sample(name="sample-darija.jsonl"):
    """A labeled sample: language, or kind, and text."""
    lines = (environment.SAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [(row["kind"], row["text"]) for row in map(json.loads, lines)]


def test_the_whole_sample_is_detected_as_labeled():
    rows = sample()
    assert len(rows) == 595
    assert [row for row in rows if detect_language(row[1]) != row[0]] == []


def test_rows_that_nothing_was_tuned_on_are_detected_as_labeled():
    rows = rows_in("labeled_rows.jsonl")  # as people write them, labeled before it saw them
    right = Counter(language for language, text in rows if detect_language(text) == language)
    of = Counter(language for language, _ in rows)
    # At first sight 135 of 136, the last 50 drawn by lot from 275 (of which 260); the miss
    # (Merciiii) has since taught the detector stretched letters.
    assert len(rows) == 136
    assert all(right[language] >= 0.95 * of[language] for language in of), right


@pytest.mark.parametrize(("language", "text"), rows_in("strange_rows.jsonl"))
def test_strange_rows_have_their_language(language, text):
    assert detect_language(text) == language


@pytest.mark.parametrize("mark", ["؟", "،", "؛", " ٣", "\u064b"])
def test_one_arabic_sign_does_not_make_a_french_row_arabic(mark):
    for language, text in sample():
        if language == "french":
            assert detect_language(text + mark) == "french"


def test_case_marks_and_form_do_not_change_the_language():
    for language, text in sample():
        shouted = "\ufeff\u200f" + unicodedata.normalize("NFD", text.upper())
        assert detect_language(shouted) == language


def test_the_share_by_hand():
    assert arabic_share("راني la") == 4 / 6
    assert arabic_share("Bonjour ؟") == 0.0
    assert arabic_share("") == arabic_share("؟ 12 ٣٤ 😂 ـ \u064e") == 0.0
    assert arabic_share("\ufeffڤگپ ٢٠٢٤ !") == 1.0
    assert arabic_share("كَتَبَ ab") == 3 / 5  # vowel marks are no letters
    assert arabic_share("ﺳﻼﻡ") == 1.0
    assert arabic_share("été ﺏ") == arabic_share("e\u0301te\u0301 ب") == 1 / 4


def is_arabic_letter(character):
    """By Unicode's own names: an isolated vowel mark is called a letter, but shows none."""
    if not unicodedata.category(character).startswith("L") or character == "\u0640":
        return False
    base = unicodedata.normalize("NFKC", character).replace("\u0640", "")
    return unicodedata.name(character, "").startswith("ARABIC") and any(map(str.isalpha, base))


@given(st.text(st.one_of(st.characters(), st.characters(min_codepoint=0x600, max_codepoint=0x6FF))))
def test_the_share_agrees_with_a_count_by_unicode_names(text):
    letters = [c for c in text if unicodedata.category(c)[0] == "L" and c != "\u0640"]
    arabic = sum(map(is_arabic_letter, letters))
    rare = any(is_arabic_letter(c) and ord(c) in (0x6E5, 0x6E6, 0x8C9) for c in text)  # small signs
    wide = any(ord(c) > 0xFFFF and is_arabic_letter(c) for c in text)  # mathematical Arabic
    if not rare and not wide:
        assert arabic_share(text) == (arabic / len(letters) if letters else 0.0)


@given(st.text())
def test_any_string_has_a_language(text):
    assert detect_language(text) in {"arabic", "arabizi", "french", "mixed", "other"}


KINDS = {"darija": "arabic", "standard": "arabic"} | {k: k for k in ("arabizi", "french", "mixed")}


def test_400_rows_of_ten_kinds_are_hardly_ever_confused():
    rows = sample("sample-languages.jsonl")
    assert set(Counter(kind for kind, _ in rows).values()) == {40}
    assert len({text for _, text in rows}) == 400
    found = Counter((kind, detect_language(text)) for kind, text in rows)

    def precision(language):
        return found[language, language] / sum(
            n for (_, said), n in found.items() if said == language
        )

    assert found["darija", "arabic"] >= 0.97 * 40
    assert found["arabizi", "arabizi"] >= 0.92 * 40 and precision("arabizi") >= 0.95
    assert found["french", "french"] >= 0.95 * 40 and precision("french") >= 0.93
    long = [text for kind, text in rows if kind == "romance" and len(text.split()) >= 8]
    assert len(long) == 28
    assert sum(detect_language(text) != "other" for text in long) <= 0.05 * len(long)
    others = [n for (kind, said), n in found.items() if kind not in KINDS and said != "other"]
    assert sum(others) <= 0.02 * 200


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("il y a 2mois", "french"),
        ("5minutes svp", "french"),
        ("la version mb3.2 est sortie", "french"),
        ("on fait du html5", "french"),
        ("ma clio3 est en panne", "french"),
        ("vent de 40 kmh sur les plages", "french"),
        ("#Mahrez #algerie", "other"),
        ("Mbappe", "other"),
        ("Pkoi ?", "french"),
        ("wla la", "arabizi"),
        ("na ya ta da", "other"),
    ],
)
def test_one_odd_token_does_not_outweigh_the_row(text, language):
    assert detect_language(text) == language


def test_the_score_tells_darija_from_standard_arabic():
    scores = {"darija": [], "standard": []}
    for kind, text in sample("sample-languages.jsonl"):
        if kind in scores:
            scores[kind].append(darija_score(text))
    assert sum(score > 0.5 for score in scores["darija"]) >= 0.8 * 40
    assert sum(score < 0.5 for score in scores["standard"]) >= 0.7 * 40
    assert min(scores["darija"]) >= 0.5 >= max(scores["standard"])
    bundled = [darija_score(text) for kind, text in sample() if kind == "arabic"]
    assert sum(score < 0.5 for score in bundled) <= 0.02 * len(bundled)


def test_the_score_by_hand():
    assert darija_score("واش راك، الذي") == 2 / 3
    assert darija_score("مَا يْعَرْفُوش") == 1.0  # vowel marks do not hide the form
    assert darija_score("و في شهر يوليو") == darija_score("") == 0.5


def test_english_prose_is_hardly_ever_taken_for_darija_or_french():
    lines = (environment.SAMPLES / "sample-articles.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [s for line in lines for s in json.loads(line)["text"].split(". ")]
    assert sum(detect_language(s) != "other" for s in sentences) <= 0.01 * len(sentences)
