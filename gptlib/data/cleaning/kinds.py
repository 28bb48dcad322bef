"""What language a row is in: Darija in Arabic or Latin letters, French, both, or something else.

Two questions, in this order. Which script: the share of Arabic letters. Which language, for Latin
letters: the function words that occur. Nothing is learned, so each answer can be explained.

Not handled: standard Arabic and Darija are one kind, "arabic" (they share most of their function
words). A row of one or two words that are in no list is "other", in Arabic letters "arabic".
"""

import html
import re
import unicodedata
from functools import lru_cache
from typing import Literal

import regex

from gptlib.data.cleaning.words import ARABIZI, FRENCH, OTHER, PERSIAN_URDU

Kind = Literal["arabic", "arabizi", "french", "mixed", "other"]

# Letters of the script without tatweel, vowel marks and digits: Arabic with its Persian, Urdu and
# African letters, then the presentation forms, which old files and some phones write. The isolated
# vowel marks among these (U+FE70 to U+FE7F) are left out.
ARABIC_LETTERS = (
    "\u0620-\u063f\u0641-\u064a\u066e\u066f\u0671-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06fc\u06ff"
    "\u0750-\u077f\u0870-\u0887\u0889-\u088e\u08a0-\u08c9"
    "\ufb50-\ufbb1\ufbd3-\ufc5d\ufc64-\ufcf1\ufcf5-\ufd3d\ufd50-\ufdfb\ufe80-\ufefc"
)
ARABIC_RUN = re.compile(f"[{ARABIC_LETTERS}]+")
LETTER_RUN = regex.compile(r"[\p{L}--\u0640]+", regex.V1)
LATIN_RUN = re.compile("[a-zà-öø-ʯḀ-ỿ]+")  # with ɛ, ɣ and ḥ, which Kabyle is written with
LATIN_WORD = re.compile("[0-9a-zà-öø-ʯḀ-ỿ]+'?")

# A row in two scripts is "mixed" from a tenth of either side that is not an accident: an Arabic
# question mark is no letter, and "DZ" in a page of Arabic is 1 %.
LEAST_ARABIC = 0.1
LEAST_LATIN = 0.03
# Arabizi borrows French freely: one word of Arabizi weighs as much as two of French.
CODE_SWITCH = 0.5
LEAST_EVIDENCE = 0.1  # of the words: one chance hit in a long row of Italian proves nothing

INVISIBLE = regex.compile(r"\p{Cf}+")
ADDRESS = re.compile(
    r"https?://\S+|www\.\S+|@[\w.-]+|\b[\w-]{1,63}\.(?:com|net|org|dz|fr|be|ly|me|io)\b\S*"
)
TAG = re.compile("</?[a-z][^<>]*>")
STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
HASHTAG = re.compile(r"#\w+")
LAUGHTER = re.compile(r"h{2,}|a?(?:h[aei]+){2,}h?|lo+l|x+d+|k{3,}|p?t?m+d+r+")
# 3 for ع, 7 for ح, 9 for ق, 5 for خ, 2 for ء beside letters; not 5h30, 3D, 2ème, mp3 or covid19.
ARABIZI_DIGIT = re.compile(r"(?=.{3})(?!.*\d\d)(?=.*[23579])(?=.*[a-z])[a-z2-9]+")
NUMBER_WITH_UNIT = re.compile(
    r"\d+(?:h|e|eme|er|ere|nd|rd|th|st|k|km|kg|go|mo|gb|mb|ko|cm|mm|ml|da|dzd|min|mn|ans|fois|jours|"
    r"heures|day|days|am|pm|sec|tb|pts|million|millions)|h\d+|(?:mp|ps|covid|win|iphone|web|vitamine|usb)\d|"
    r"b2[bc]|co2|h2o"
)
# Two consonants that begin no French or English word: nroh, lkhobz, bzaf, ktebt; and y before one.
CLUSTER = re.compile(
    r"(?!bl|br|bh|ch|cl|cr|dh|dj|dr|fl|fr|gh|gl|gn|gr|j|kh|kl|kn|kr|ph|pl|pn|pr|ps|pt|qu|rh|sc|sh|sk|"
    r"sl|sm|sn|sp|sq|st|sw|tch|th|tl|tr|ts|tw|vl|vr|wh|wr)"
    r"(?:[b-df-hj-np-tv-wz]{2}|y[b-df-hj-np-tv-xz])(?=.*[aeiou])[a-z]{2,}"
)
NEGATION = re.compile(r"\bma ?[a-z2-9]{2,}(?:ch|sh)\b")  # ma … ch, around a verb
FRENCH_ACCENT = re.compile("[àâæçéèêëîïôœùû]")
# Asked only where no word is in a list: English shares some endings, names have kh, Spanish has el.
FRENCH_ENDING = re.compile(
    r".+(?:aison|ique|euse?|eux|eur|aire|oire?|eaux?|ais|ait|elle|ette|(?:ll|us)ement|vail)s?"
)
ARABIZI_FORM = re.compile(r".*(?:kh|q(?!u)).*|.+ou(?:l?ha|ho?m|na|ni|h)|el")
FOREIGN_LETTER = re.compile("[áãäåìíðñòóõöøúüýþßĀ-őŔ-ʯḀ-ỿ]")


def arabic_share(text: str) -> float:
    """The share of letters that are Arabic script, from 0 to 1.

    Args:
        text: any string. Vowel marks, tatweel, digits, punctuation and spaces are no letters;
            presentation forms are Arabic letters, and so are گ, پ and ڤ.

    Returns:
        Arabic letters over all letters; 0.0 where there is no letter.
    """
    letters = sum(map(len, LETTER_RUN.findall(text)))
    return sum(map(len, ARABIC_RUN.findall(text))) / letters if letters else 0.0


def is_french(text: str) -> bool:
    """Whether a row is French; French words inside Darija do not make it so."""
    return kind_of(text) == "french"


def is_arabizi(text: str) -> bool:
    """Whether a row is Darija in Latin letters and digits."""
    return kind_of(text) == "arabizi"


@lru_cache(maxsize=1)  # several steps ask about the same row, one after the other
def kind_of(text: str) -> Kind:
    """Say what a row is in.

    Args:
        text: as it came or cleaned. Addresses, mentions, HTML tags and laughter are not looked
            at, hashtags only where there is nothing else.

    Returns:
        "arabic" (Arabic script), "arabizi" (Darija in Latin letters), "french", "mixed" (words in
        both scripts), or "other": another language or script, or no words.
    """
    if "&" in text or "<" in text:  # as comments come from the web
        text = TAG.sub(" ", html.unescape(text))
    level = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    if not level.isprintable():
        level = INVISIBLE.sub("", level)
    level = ADDRESS.sub(" ", level)
    without_tags = HASHTAG.sub(" ", level)
    level = without_tags if LETTER_RUN.search(without_tags) else level.replace("_", " ")
    return _kind_of_level(STRETCHED.sub(r"\1", level))


def _kind_of_level(text: str) -> Kind:
    """The kind of a row in lower case without invisible characters and addresses."""
    words = [word for word in LATIN_WORD.findall(text) if not LAUGHTER.fullmatch(word)]
    arabic_runs = ARABIC_RUN.findall(text)
    arabic = sum(map(len, arabic_runs))
    latin_runs = [run for word in words for run in LATIN_RUN.findall(word)]
    latin = sum(map(len, latin_runs))
    letters = sum(map(len, LETTER_RUN.findall(text)))
    if arabic + latin == 0 or 2 * (arabic + latin) < letters:
        return "other"
    if not PERSIAN_URDU.isdisjoint(arabic_runs) and _is_persian(arabic_runs):
        return "other"
    if latin < LEAST_LATIN * (arabic + latin) or _is_stray(latin_runs, words):
        return "arabic" if arabic else "other"
    if arabic >= max(2, LEAST_ARABIC * (arabic + latin)):  # one letter is a slip of the thumb
        return "mixed"
    return _latin_kind(text, words)


def _latin_kind(text: str, words: list[str]) -> Kind:
    """The language that most function words speak for."""
    arabizi = 2 * sum(map(_has_arabizi_digit, words)) + len(NEGATION.findall(text))
    french = other = 0
    for word in words:
        if word in FRENCH:
            french += 1
        elif word in OTHER or FOREIGN_LETTER.search(word):
            other += 1
        elif word in ARABIZI or CLUSTER.fullmatch(word):
            arabizi += 1
        elif FRENCH_ACCENT.search(word):
            french += 1
    if arabizi == french == other == 0:
        french = sum(bool(FRENCH_ENDING.fullmatch(word)) for word in words)
        arabizi = sum(bool(ARABIZI_FORM.fullmatch(word)) for word in words)
    if max(arabizi, french, other) < LEAST_EVIDENCE * len(words):
        return "other"
    if arabizi and arabizi >= CODE_SWITCH * french and arabizi >= other:
        return "arabizi"
    return "french" if french > other else "other"


def _is_stray(runs: list[str], words: list[str]) -> bool:
    """Whether Latin letters stand alone, as in "plan B"; in s7i7 they do not."""
    return max(map(len, runs)) < 2 and not any(map(_has_arabizi_digit, words))


def _has_arabizi_digit(word: str) -> bool:
    return bool(ARABIZI_DIGIT.fullmatch(word)) and not NUMBER_WITH_UNIT.fullmatch(word)


def _is_persian(runs: list[str]) -> bool:
    """Whether Arabic letters write Persian or Urdu."""
    return sum(run in PERSIAN_URDU for run in runs) > LEAST_EVIDENCE * len(runs)
