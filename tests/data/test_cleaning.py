"""A cleaner normalizes what it keeps, drops with a reason, and counts both."""

import itertools
import json
import sys
import time
import tracemalloc
import unicodedata
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data.cleaning import (
    NORMALIZERS,
    Cleaner,
    Filter,
    darija_cleaner,
    text_cleaner,
)
from gptlib.data.corpora import load_corpus
from gptlib.data.language_id import detect_language
from gptlib.data.normalizers import (
    fold_spaces,
    limit_repeats,
    mask_addresses,
    normalize_unicode,
    remove_marks,
    resolve_html,
)
from gptlib.data.split import exact_duplicates, shingles, similar_to_earlier
from gptlib.errors import ConfigError

NOISE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            " \t\n\r\x1c\x85\u2028\u00a0\ufeff\u200d\u200b\u202e\u00ade\u0301ـهﻼﷲﷺﹰ😂❤\ufe0f!a1"
        ),
    )
)


def clean_one(text):
    """A row through the normalizers alone."""
    return next(Cleaner(NORMALIZERS).clean([text]), None)


def cleaned_darija(text):
    return next(darija_cleaner().clean([text]))


def dropped_by(cleaner, text):
    """The step that drops a row, None where it is kept."""
    kept = list(cleaner.clean([text]))
    names = [step.name for step in cleaner.report.steps if step.dropped]
    assert len(names) == 1 - len(kept)
    return names[0] if names else None


@pytest.mark.parametrize(
    ("normalize", "before", "after"),
    [
        (limit_repeats, "هههههههه", "ههه"),
        (limit_repeats, "!!!!!! ههه", "!!! ههه"),
        (limit_repeats, "hahahahahaha", "hahaha"),
        (limit_repeats, "🇩🇿🇩🇿🇩🇿🇩🇿🇩🇿", "🇩🇿🇩🇿🇩🇿"),
        (limit_repeats, "1000000 ٢٠٠٠٠٠", "1000000 ٢٠٠٠٠٠"),
        (limit_repeats, "الله cool ههه", "الله cool ههه"),
        (normalize_unicode, "ﺳﻼﻡ ﷲ", "سلام الله"),
        (normalize_unicode, "محمد ﷺ", "محمد صلى الله عليه وسلم"),
        (normalize_unicode, "ب\ufe7a", "ب\u0650"),
        (normalize_unicode, "e\u0301 x²", "é x²"),
        (remove_marks, "\ufeffرا\u200bني\u200f \u202eab\u00ad\x00", "راني ab"),
        (
            remove_marks,
            "👨\u200d👩\u200d👧 ❤️\u200d🔥 را\u200dني",
            "👨\u200d👩\u200d👧 ❤️\u200d🔥 راني",
        ),
        (fold_spaces, "  a \t\u00a0b\r\n c\n\n \n\nd\x85e ", "a b\nc\n\nd\ne"),
        (resolve_html, "L&#39;heure<br>&quot;juste&quot;<br />&amp;lt;3", 'L\'heure\n"juste"\n<3'),
        (mask_addresses, "راسلني a.b-c@mail.dz ولا 0550 12 34 56!", "راسلني @email ولا @phone!"),
        (mask_addresses, "شوف https://x.y/z?a=1 و youtu.be/xyz", "شوف @link و @link"),
        (mask_addresses, "@karim213: +213 550-12-34-56", "@user: @phone"),
        (mask_addresses, "٠٥٥٠١٢٣٤٥٦ 05.50.12.34.56.", "@phone @phone."),
        (
            mask_addresses,
            "عام 2024 2 500 000 دج 01-01-2024 0,5 0.25",
            "عام 2024 2 500 000 دج 01-01-2024 0,5 0.25",
        ),
        (resolve_html, "R&D &copie; &amp;amp; &amp;foo; <b>", "R&D &copie; & &foo; <b>"),
        (clean_one, "a\x1cb\x00c\x1fd", "a\nbc d"),  # separators part words, the rest goes
        (cleaned_darija, "جميـــل الـ bus ديالكم", "جميل ال bus ديالكم"),
    ],
)
def test_normalizers_by_hand(normalize, before, after):
    assert normalize(before) == after


@given(NOISE)
def test_clean_text_cleaned_again_stays_as_it_is(text):
    once = clean_one(text)
    assert once is None or clean_one(once) == once


@given(st.lists(st.sampled_from(["&amp;", "amp;", "#39;", "lt;", "<br", ">"])))
def test_html_resolved_again_stays_as_it_is(pieces):
    once = resolve_html("".join(pieces))
    assert resolve_html(once) == once


@given(
    st.lists(st.sampled_from(["@", "a", "user", "link", ".", "-", " ", "0", "5", "+", "com", "/"]))
)
def test_masked_text_masked_again_stays_as_it_is(pieces):
    once = mask_addresses("".join(pieces))
    assert mask_addresses(once) == once


def test_standard_arabic_is_noted_and_dropped_only_by_option():
    rows = ["واش راك خويا", "أعلن الوزير الذي لم يحضر", "rani hna khouya", "le film الذي شفتو"]
    cleaner = darija_cleaner()
    assert list(cleaner.clean(rows)) == rows
    [noted] = [step for step in cleaner.report.steps if step.noted is not None]
    assert (noted.name, noted.noted, noted.dropped) == ("Darija score under 0.5", 1, 0)
    assert "0.5                  1        kept   25.0%" in cleaner.report.table()
    cleaner = darija_cleaner(least_darija=0.5)
    assert list(cleaner.clean(rows)) == [rows[0], *rows[2:]]
    assert dropped_by(darija_cleaner(least_darija=0.5), rows[1]) == "Darija score under 0.5"


@given(NOISE)
def test_clean_text_is_in_normal_form_without_marks_and_edges(text):
    once = clean_one(text) or "x"
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip() and "  " not in once and "\r" not in once and "\n\n\n" not in once
    others = once.replace("\u200d", "")
    assert not any(unicodedata.category(c) in ("Cf", "Cc", "Co") for c in others if c != "\n")


@given(st.text("ab!ه", max_size=40))
def test_no_unit_stands_four_times_in_a_row(text):
    once = limit_repeats(text)
    for size, start in itertools.product(range(1, 5), range(len(once))):
        unit = once[start : start + size]
        assert len(unit) < size or not once.startswith(unit * 4, start)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("راني رايح للسوق", None),
        ("rani raye7 lessou9", None),
        ("راني في la gare", None),
        ("C&#39;est une blague&nbsp;!", "French"),
        ("Tu viens demain avec nous ؟", "French"),
        ("What a beautiful song", "no words, or another language"),
        ("؟!؟!؟!", "no words, or another language"),
        ("123 456 789", "no words, or another language"),
        ("😂❤️🔥 😂❤️🔥", "no words, or another language"),
        ("راني \ud83d هنا", "broken characters"),
        ("", "invisible marks"),  # the first normalizer finds nothing to keep
        ("\ufeff\u200f", "invisible marks"),
        ("ـــــ", "tatweel"),
        ("لا", "under 5 characters"),
        ("واش راك خويا اليوم " + " ".join(map(str, range(30_000))), "over 100,000 characters"),
    ],
)
def test_each_row_is_dropped_for_its_reason(text, step):
    assert dropped_by(darija_cleaner(), text) == step


def test_arabizi_is_kept_or_dropped_by_option():
    rows = load_corpus("sample-darija").documents
    languages = {
        option: {detect_language(row) for row in darija_cleaner(arabizi=option).clean(rows)}
        for option in (True, False)
    }
    assert languages == {True: {"arabic", "arabizi", "mixed"}, False: {"arabic", "mixed"}}


def test_a_least_share_of_arabic_drops_mixed_rows_and_leaves_arabizi():
    cleaner = darija_cleaner(least_arabic=0.9)
    kept = list(cleaner.clean(["هاذ le film شفتو", "rani raye7 lessou9", "راني رايح للسوق"]))
    assert kept == ["rani raye7 lessou9", "راني رايح للسوق"]


def test_the_counts_add_up_on_the_sample():
    rows = load_corpus("sample-darija").documents
    cleaner = darija_cleaner(arabizi=False)
    kept = list(cleaner.clean(rows + rows))
    report = cleaner.report
    dropped = {step.name: step.dropped for step in report.steps if step.dropped}
    assert dropped == {"French": 72, "Arabizi": 92, "exact duplicates": 513}
    assert report.documents_in == 1_190 == report.documents_out + sum(dropped.values())
    assert report.documents_out == len(kept) == 513
    assert report.bytes_in == 2 * sum(len(row.encode()) for row in rows)
    assert report.bytes_out == sum(len(row.encode()) for row in kept)


@given(st.lists(NOISE, max_size=20))
def test_every_row_is_kept_or_dropped_once(rows):
    cleaner = darija_cleaner(shortest=1)
    kept = list(cleaner.clean(rows))
    report = cleaner.report
    assert report.documents_in == len(rows)
    assert len(rows) - len(kept) == sum(step.dropped for step in report.steps)
    assert len(set(kept)) == len(kept)
    json.dumps(asdict(report)).encode()
    report.table().encode()


def test_the_report_reads_as_a_table_and_as_json():
    cleaner = darija_cleaner()
    list(cleaner.clean(["راني \ud83d هنا", "C'est à vous\u202e, monsieur", "واش راااااك خويا"]))
    table = cleaner.report.table().splitlines()
    assert table[0].split() == ["documents", "in", "3", "75", "bytes"]
    assert [line.split()[0] for line in table[2:-1]] == [
        "broken",
        "invisible",
        "repeated",
        "French",
    ]
    assert len({line.rindex(" 1") for line in table if line.startswith(("broken", "French"))}) == 1
    steps = {step["name"]: step for step in asdict(cleaner.report)["steps"]}
    assert steps["broken characters"]["examples"] == ["راني \\ud83d هنا"]
    assert steps["French"]["examples"] == ["C'est à vous, monsieur"]
    assert json.loads(json.dumps(asdict(cleaner.report)))["documents_out"] == 1


def test_only_three_examples_are_kept_and_none_whole():
    cleaner = darija_cleaner()
    list(cleaner.clean(f"Je ne suis pas {'très ' * 50} content {n}" for n in range(9)))
    [step] = [step for step in cleaner.report.steps if step.dropped]
    assert step.dropped == 9 and len(step.examples) == 3
    assert all(len(example) == 61 for example in step.examples)


def test_rows_come_one_at_a_time():
    endless = (f"راني رايح للسوق رقم {n}" for n in itertools.count())
    cleaner = darija_cleaner()
    assert len(list(itertools.islice(cleaner.clean(endless), 5))) == 5
    assert cleaner.report.documents_in == 5


def test_duplicates_are_those_of_a_dict_and_are_known_from_call_to_call():
    rows = [f"row {n % 700}" for n in range(2_000)]
    cleaner = Cleaner([Filter("duplicates", exact_duplicates())])
    assert list(cleaner.clean(rows)) == list(dict.fromkeys(rows))
    assert list(cleaner.clean(rows)) == []


def test_a_duplicate_costs_a_hash_not_a_row():
    duplicates = exact_duplicates()
    tracemalloc.start()
    for n in range(100):
        duplicates(f"{n} " * 10_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 50_000  # bytes; the rows have over 2 million


def test_text_in_any_language_keeps_its_rows_and_paragraphs():
    rows = ["Deux fois.\n\nEt  encore.", "English stays", "Deux fois.\n\nEt encore.", "русский"]
    assert list(text_cleaner().clean(rows)) == ["Deux fois.\n\nEt encore.", *rows[1::2]]


@pytest.mark.parametrize(
    ("maker", "choice", "words"),
    [
        (text_cleaner, {"shortest": 0, "longest": 10}, "lengths from 0 to 10 allow no row"),
        (text_cleaner, {"shortest": 11, "longest": 10}, "lengths from 11 to 10 allow no row"),
        (text_cleaner, {"shortest": -1}, "lengths from -1 to None allow no row"),
        (darija_cleaner, {"longest": 4}, "lengths from 5 to 4 allow no row"),
        (darija_cleaner, {"least_arabic": -0.1}, "Arabic share of -0.1"),
        (darija_cleaner, {"least_arabic": 1.1}, "Arabic share of 1.1"),
        (darija_cleaner, {"least_darija": 1.1}, "a Darija score of 1.1"),
        (darija_cleaner, {"near_duplicates": 1.5}, "near-duplicates from 1.5 on.*between 0 and 1"),
    ],
)
def test_choices_that_allow_nothing_are_refused(maker, choice, words):
    with pytest.raises(ConfigError, match=words):
        maker(**choice)


def test_near_duplicates_without_datasketch_name_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(ConfigError, match="pip install datasketch"):
        text_cleaner(near_duplicates=0.8)


def test_near_duplicates_are_those_that_share_most_spans():
    rows = load_corpus("sample-darija").documents[:150]
    copies = [row + " 👍 !!" for row in rows]
    longer = [row + " وهذي حكاية أخرى طويلة ما عندها حتى علاقة مع اللولة" for row in rows[:20]]
    kept = list(
        Cleaner([Filter("near", similar_to_earlier(0.8))]).clean(rows + copies + longer[:1])
    )
    assert kept == rows + longer[:1]
    spans = [set(shingles(row)) for row in kept]
    for one, other in itertools.combinations(spans, 2):
        assert len(one & other) / len(one | other) < 0.9


UNITS = ["a", "a-", "w.", "ma ", "@", "ab1", "\u200d", " \n", "ه ـ", "#_", "ha", "3a", "h2 "]
UNITS += ["aaab", "&amp;", "<b", "می "]


@pytest.mark.parametrize("unit", UNITS)
def test_a_long_row_takes_time_in_proportion(unit):
    row = unit * (100_000 // len(unit))
    start = time.process_time()
    list(darija_cleaner(longest=200_000).clean([row]))
    detect_language(row)
    assert time.process_time() - start < 1.0  # quadratic time would be minutes
