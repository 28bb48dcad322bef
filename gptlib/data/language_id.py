"""What language a row is in: Darija in Arabic or Latin letters, French, both, or something else.

Two questions, in this order. Which script: the share of Arabic letters. Which language, for Latin
letters: the function words that occur. Nothing is learned, so each answer can be explained.

Standard Arabic and Darija are both "arabic", as they share most of their function words; how far
they can be told apart, `darija_score` says. A row of one or two words that are in no list is
"other", in Arabic letters "arabic".
"""

import html
import re
import unicodedata
from collections import defaultdict
from functools import lru_cache
from typing import Literal

import regex

from gptlib.data.function_words import (
    FUNCTION_WORDS,
    LANGUAGES_OF,
    MAGHREBI,
    PERSIAN_URDU,
    STANDARD,
)
from gptlib.data.normalizers import ADDRESS, has_address

Language = Literal["arabic", "arabizi", "french", "mixed", "other"]

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


LATIN_RUN = re.compile("[a-zà-öø-ʯḀ-ỿ]+")  # with ɛ, ɣ and ḥ, which Kabyle is written with
LATIN_WORD = re.compile("[0-9a-zà-öø-ʯḀ-ỿ]+'?")

# A row in two scripts is "mixed" from a tenth of either side that is not an accident: an Arabic
# question mark is no letter, and "DZ" in a page of Arabic is 1 %.
LEAST_ARABIC = 0.1
LEAST_LATIN = 0.03
# Arabizi borrows French freely: one word of Arabizi weighs more than two of French.
CODE_SWITCH = 0.5
LEAST_EVIDENCE = 0.15  # of the words: one chance hit in a long row of Finnish proves nothing
OTHERS = tuple(FUNCTION_WORDS.keys() - {"french", "arabizi"})
ALONE = 1.25  # a word that only one language has, where one of several has 1
SPELLED = 0.5  # a spelling is half the evidence of a word that is listed

INVISIBLE = regex.compile(r"\p{Cf}+")
TAG = re.compile("</?[a-z][^<>]*>")
STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
HASHTAG = re.compile(r"#\w+")
LATIN_TAG = re.compile(r"#[0-9_a-zà-ÿ]+")
LAUGHTER = re.compile(r"h{2,}|a?(?:h[aei]+){2,}h?|lo+l|x+d+|k{3,}|p?t?m+d+r+")
# 3 for ع, 7 for ح and 9 for ق before a letter or after a vowel; not html5, mp3, 5h30, 3D, covid19.
ARABIZI_DIGIT = re.compile(
    r"(?=.{3})(?!.*\d\d)(?:[a-z2-9]*[379][a-z][a-z2-9]*|[a-z2-9]*[aeiou][379])"
)
UNIT = re.compile(
    r"\d+(?:h|e|eme|ème|er|ere|nd|rd|th|st|[km]?m|kmh|k?g|[kmgt][ob]|c[ml]|ml|da|dzd|mi?n|minutes?|ans?|"
    r"annees?|mois|fois|jours?|heures?|semaines?|places?|pieces?|personnes?|euros?|dollars?|da?ys?|"
    r"hours?|weeks?|months?|years?|times|am|pm|sec|pts|points?|millions?|x|v|w|p|k|d|g)"
)
# Two consonants that begin no French or English word: nroh, lkhobz, bzaf, ktebt; and y before one.
CLUSTER = (
    r"(?!bl|br|bh|ch|cl|cr|dh|dj|dr|fl|fr|gh|gl|gn|gr|j|kh|kl|kn|kr|m[bpw]|ph|pl|pn|pr|ps|pt|qu|rh|sc|sh|sk|"
    r"sl|sm|sn|sp|sq|st|sv|sw|sz|tch|th|tl|tr|ts|tw|vl|vr|wh|wr|zw)"
    r"(?:[b-df-hj-np-tv-wz]{2}|y[b-df-hj-np-tv-xz])(?=.*[aeiou])[a-z]{2,}"
)
NEGATION = re.compile(r"\bma ?[a-z2-9]{2,}(?:ch|sh)\b")  # ma … ch, around a verb
# What the words of a language look like that are in no list. Many words of Spanish, Italian and
# Portuguese end in -o, -a or -i, and hardly one of French.
SPELLINGS = {
    "arabizi": re.compile(
        rf"{CLUSTER}|.*(?:kh|q(?!u)).*|.+ou(?:l?ha|ho?m|na|ni|h|ch)|el|[ny]e(?:kh|gh|[bdfhjklz][bdfhjkmqz]).*"
        r"|[a-z]*[25][a-z]+"
    ),
    "french": re.compile(
        r".*[àâæçéèêëîïôœùû].*"
        r"|.+(?:aison|ique|euse?|eux|eur|aire|oire?|eaux?|ais|ait|elle|ette|nne|(?:ll|us)ement|vail)s?"
    ),
    "romance": re.compile(r"[a-z]{3,}(?:[oai]|[oa]s|dade?|ndo)"),
    "foreign": re.compile(".*[áãäåìíðñòóõöøúüýþßĀ-őŔ-ʯḀ-ỿ].*"),
}


VOWEL_MARKS = re.compile("[\u0640\u064b-\u0655\u0670]")
# Forms of Maghrebi verbs: ma … sh around one, and the plural in -u (يعرفو, نروحو), which standard
# Arabic writes with an alif behind it.
MAGHREBI_NEGATION = re.compile(r"\bما? ?\w{3,}ش\b")
MAGHREBI_PLURAL = re.compile(r"[ينت](?!وليو|ونيو)\w{3,}و")


def darija_score(text: str) -> float:
    """How much a row in Arabic letters reads like a Maghrebi dialect, not standard Arabic.

    Args:
        text: any string. Its words that only one of the two has are counted, and verbs between
            ma and sh or with the dialect's plural.

    Returns:
        The share of these that are Maghrebi, from 0 (standard Arabic) to 1; 0.5 where there is
        none, as in a fifth of the bundled rows. Other dialects are not told from either.
    """
    text = VOWEL_MARKS.sub("", text)
    words = ARABIC_RUN.findall(text)
    words += [word[1:] for word in words if word[0] == "و" != word]  # "and" is written together
    standard = sum(map(STANDARD.__contains__, words))
    maghrebi = sum(map(MAGHREBI.__contains__, words))
    maghrebi += sum(bool(MAGHREBI_PLURAL.fullmatch(word)) for word in words if word[-1] == "و")
    maghrebi += len(MAGHREBI_NEGATION.findall(text)) if "ش" in text else 0
    return maghrebi / (maghrebi + standard) if maghrebi + standard else 0.5


@lru_cache(maxsize=1)  # several filters ask about the same row, one after the other
def detect_language(text: str) -> Language:
    """Say what language a row is in.

    Args:
        text: as it came or cleaned. Addresses, mentions, HTML tags and laughter are not looked
            at, hashtags only where there is nothing else.

    Returns:
        "arabic" (Arabic script), "arabizi" (Darija in Latin letters), "french", "mixed" (words in
        both scripts), or "other": another language or script, or no words.
    """
    text = _simplify(text)
    words = [word for word in LATIN_WORD.findall(text) if not LAUGHTER.fullmatch(word)]
    arabic_runs = ARABIC_RUN.findall(text)
    latin_runs = [run for word in words for run in LATIN_RUN.findall(word)]
    arabic, latin = sum(map(len, arabic_runs)), sum(map(len, latin_runs))
    letters = sum(map(len, LETTER_RUN.findall(text)))
    if arabic + latin == 0 or 2 * (arabic + latin) < letters:
        return "other"
    if sum(run in PERSIAN_URDU for run in arabic_runs) > LEAST_EVIDENCE * len(arabic_runs):
        return "other"
    if latin < LEAST_LATIN * (arabic + latin) or _is_stray(latin_runs, words):
        return "arabic" if arabic else "other"
    if arabic >= max(2, LEAST_ARABIC * (arabic + latin)):  # one letter is a slip of the thumb
        return "mixed"
    return _latin_language(text, words)


def _simplify(text: str) -> str:
    """Lower case, without HTML, invisible characters, addresses, hashtags and stretched letters."""
    if "&" in text or "<" in text:  # as comments come from the web
        text = TAG.sub(" ", html.unescape(text))
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    if not text.isprintable():
        text = INVISIBLE.sub("", text)
    if has_address(text):
        text = ADDRESS.sub(" ", text)
    untagged = HASHTAG.sub(" ", text)
    if not LETTER_RUN.search(untagged):  # a tag in Latin letters has no language of its own
        untagged = LATIN_TAG.sub(" ", text).replace("_", " ")
    return STRETCHED.sub(r"\1", untagged)


def _latin_language(text: str, words: list[str]) -> Language:
    """The language that most of the evidence speaks for; in a tie French, as it is nearest."""
    found: dict[str, float] = defaultdict(float)
    for word in words:
        for language, weight in _evidence(word):
            found[language] += weight
    found["arabizi"] += len(NEGATION.findall(text)) * SPELLED
    french, arabizi = found["french"], found["arabizi"]
    others = max(map(found.__getitem__, OTHERS)) + found["foreign"]
    least = LEAST_EVIDENCE * len(words)
    if arabizi >= max(1, least) and arabizi > max(CODE_SWITCH * french, others):
        return "arabizi"
    return "french" if french and french >= max(least, others + found["romance"]) else "other"


@lru_cache(maxsize=50_000)  # a few thousand words are most of any corpus
def _evidence(word: str) -> tuple[tuple[str, float], ...]:
    """The languages that a word speaks for, with weights."""
    if languages := LANGUAGES_OF.get(word):
        return tuple((name, ALONE if len(languages) == 1 else 1.0) for name in languages)
    if _has_arabizi_digit(word):
        return (("arabizi", 1.0),)
    if UNIT.fullmatch(word):
        return ()
    looks = [name for name, spelling in SPELLINGS.items() if spelling.fullmatch(word)]
    return tuple((name, 1.0 if name == "foreign" else SPELLED) for name in looks)


def _is_stray(runs: list[str], words: list[str]) -> bool:
    """Whether Latin letters stand alone, as in "plan B"; in s7i7 they do not."""
    return max(map(len, runs)) < 2 and not any(map(_has_arabizi_digit, words))


def _has_arabizi_digit(word: str) -> bool:
    return bool(ARABIZI_DIGIT.fullmatch(word)) and not UNIT.fullmatch(word)
