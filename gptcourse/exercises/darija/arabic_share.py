"""Exercise 7.1: which share of a text's letters is Arabic?"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterator

import regex

from gptcourse.exercises.exercise import Case, Exercise
from gptlib.data.cleaning import arabic_share

TATWEEL = "\u0640"  # a stroke that stretches a word


def cases() -> Iterator[Case]:
    """Rows in one script and in two, and everything that only looks like a letter."""
    rows = {
        "Arabic letters only": "راني رايح للسوق نشري الخبز",
        "Arabizi": "rani raye7 lessou9 nechri lkhobz",
        "French with accents": "je vais au marché acheter du pain",
        "two scripts": "هاذي la robe شابة",
        "Arabic punctuation": "Ça va ؟ Non، pas trop؛ شوية",
        "digits, Arabic and Latin": "٣٤ pains و 12 oeufs",
        "letters that Arabic itself lacks": "گ پ ڤ de Gabès",
        "vowel marks": "قُولِي merci",
        "a stretched word": "جميـــل bien",
        "presentation forms": "ﺳﻼﻡ salut",
        "an invisible mark in front": "\ufeffسلام oui",
        "no letter": "!! 123 ؟",
        "the empty text": "",
    }
    for label, text in rows.items():
        yield Case(label, (text,))


def letters_of(text: str) -> list[str]:
    """The letters, right: what several mistakes go wrong after."""
    return [c for c in text if c.isalpha() and c != TATWEEL]


def is_arabic(character: str) -> bool:
    """Whether Unicode's name of a character says so."""
    return unicodedata.name(character, "").startswith("ARABIC")


def share(part: list[str], whole: list[str]) -> float:
    """One part of a whole, by count; 0 of nothing."""
    return len(part) / len(whole) if whole else 0.0


def any_is_all(text: str) -> float:
    """This looks like yes or no: one Arabic letter makes the whole text Arabic."""
    return float(any(is_arabic(c) for c in letters_of(text)))


def of_all_characters(text: str) -> float:
    """This looks like a share of all characters: spaces and digits stand in the denominator."""
    return share([c for c in letters_of(text) if is_arabic(c)], list(text))


def listed_signs_left_out(text: str) -> float:
    """This looks like leaving out what is no letter by a list of Latin signs: ؟ is not in it, nor
    are vowel marks."""
    no_letters = string.punctuation + string.whitespace + string.digits
    letters = [c for c in text if c not in no_letters]
    return share([c for c in letters if is_arabic(c)], letters)


def categories_left_out(text: str) -> float:
    """This looks like leaving out spaces, numbers, punctuation and symbols: vowel marks and the
    invisible U+FEFF are none of these, and no letters either."""
    letters = [c for c in text if unicodedata.category(c)[0] not in "ZNPS" and c != TATWEEL]
    return share([c for c in letters if is_arabic(c)], letters)


def digits_count(text: str) -> float:
    """This looks like isalnum: digits, Arabic ones too, are counted as letters."""
    letters = [c for c in text if c.isalnum() and c != TATWEEL]
    return share([c for c in letters if is_arabic(c)], letters)


def whole_block(text: str) -> float:
    """This looks like counting every character of the Arabic block above the line: ؟, ٣ and vowel
    marks stand in that block too."""
    return share([c for c in text if "\u0600" <= c <= "\u06ff"], letters_of(text))


def whole_text(text: str) -> float:
    """This looks like two counts over the whole text: among the Arabic names are also those of ؟,
    of digits and of vowel marks."""
    return share([c for c in text if is_arabic(c)], letters_of(text))


def named_letter(text: str) -> float:
    """This looks like names that begin with ARABIC LETTER: two letters in one shape, such as ﻼ,
    are called a ligature."""
    letters = letters_of(text)
    names = (unicodedata.name(c, "") for c in letters)
    return share([name for name in names if name.startswith("ARABIC LETTER")], letters)


def block_only(text: str) -> float:
    """This looks like the block U+0600 to U+06FF alone: presentation forms, which old files use,
    stand in another."""
    letters = letters_of(text)
    return share([c for c in letters if "\u0600" <= c <= "\u06ff"], letters)


def alphabet_only(text: str) -> float:
    """This looks like the letters of the Arabic alphabet alone: گ, پ and ڤ, which Darija writes,
    are missed."""
    letters = letters_of(text)
    return share([c for c in letters if "ء" <= c <= "ي"], letters)


def in_bytes(text: str) -> float:
    """This looks like a share of bytes: an Arabic letter has two or three of them, a Latin one
    mostly one."""
    letters = letters_of(text)
    arabic = "".join(c for c in letters if is_arabic(c))
    return len(arabic.encode()) / len("".join(letters).encode()) if letters else 0.0


def divides_by_nothing(text: str) -> float:
    """This looks like a division by the number of letters even where there are none."""
    letters = letters_of(text)
    return len([c for c in letters if is_arabic(c)]) / len(letters)


def tatweel_counts(text: str) -> float:
    """This looks like isalpha alone: it takes the tatweel, which only stretches a word, for a
    letter."""
    letters = [c for c in text if c.isalpha()]
    return share([c for c in letters if is_arabic(c)], letters)


def marks_count(text: str) -> float:
    """This looks like letters and marks: a vowel mark stands above or below a letter, and is
    none."""
    letters = regex.findall(r"[\p{L}\p{M}--\u0640]", text, flags=regex.V1)
    return share([c for c in letters if is_arabic(c)], letters)


def whatever_is_not_ascii(text: str) -> float:
    """This looks like taking every letter outside ASCII for Arabic: é and ç are not."""
    letters = letters_of(text)
    return share([c for c in letters if not c.isascii()], letters)


def of_words(text: str) -> float:
    """This looks like a share of words: a long word must weigh more than a short one."""
    words = text.split()
    return share([word for word in words if any(is_arabic(c) for c in letters_of(word))], words)


def in_percent(text: str) -> float:
    """This looks like a share in per cent: the answer lies between 0 and 1."""
    return 100 * arabic_share(text)


def by_name(text: str) -> float:
    """The same as a loop, with Unicode's names."""
    arabic = letters = 0
    for character in text:
        if character.isalpha() and character != TATWEEL:
            letters += 1
            arabic += is_arabic(character)
    return arabic / max(letters, 1)


def by_expressions(text: str) -> float:
    """The same with two regular expressions."""
    letters = re.findall(rf"[^\W\d_{TATWEEL}]", text)
    arabic = regex.findall(r"[\p{Arabic}&&\p{L}--\u0640]", text, flags=regex.V1)
    return len(arabic) / len(letters) if letters else 0.0


def by_counting_scripts(text: str) -> float:
    """The same with a count for each script, the first word of a letter's name."""
    scripts = Counter(unicodedata.name(c).split()[0] for c in letters_of(text))
    return scripts["ARABIC"] / (scripts.total() or 1)


EXERCISE = Exercise(
    name="arabic_share",
    notebook="07_pretraining_darija",
    rating=2,
    minutes=20,
    right=arabic_share,
    cases=cases,
    mistakes=(
        any_is_all,
        of_all_characters,
        listed_signs_left_out,
        categories_left_out,
        digits_count,
        whole_block,
        whole_text,
        named_letter,
        block_only,
        alphabet_only,
        in_bytes,
        divides_by_nothing,
        tatweel_counts,
        marks_count,
        whatever_is_not_ascii,
        of_words,
        in_percent,
    ),
    also_right=(by_name, by_expressions, by_counting_scripts),
)
