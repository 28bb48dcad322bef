"""Texts to compare tokenizers on: scripts, emoji, odd spaces, contractions, random Unicode."""

import json
import random
from pathlib import Path

from hypothesis import strategies as st

SCRIPTS = {
    "Latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéèüßñøłışæœ",
    "Greek": "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώΑΒΓΔΘΛΞΠΣΦΨΩ",
    "Cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗИЙКЛ",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويءأإآةىؤئًٌٍَُِّْڨپچ",
    "Hebrew": "אבגדהוזחטיכלמנסעפצקרשתםןץףךְֱֲִֵ",
    "Devanagari": "अआइईउऊएऐओऔकखगघचछजझटठडढणतथदधनपफबभमयरलवशषसहािीुूेैोौंः्",
    "Thai": "กขคงจฉชซญดตถทธนบปผฝพฟภมยรลวศษสหอฮะาิีึืุูเแโใไ่้๊๋์",
    "Han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "Kana": "あいうえおかきくけこさしすせそたちつてとなにぬねのアイウエオカキクケコー",
    "Hangul": "가나다라마바사아자차카타파하한글단어말을는이가에서",
    "Tifinagh": "ⴰⴱⴳⴷⴹⴻⴼⴽⵀⵃⵄⵅⵇⵉⵊⵍⵎⵏⵓⵔⵕⵖⵙⵚⵛⵜⵟⵡⵢⵣⵥ",
    "Emoji": ["🙂", "👍🏽", "👩‍👩‍👧", "🇩🇿", "❤️", "🏳️‍🌈", "1️⃣", "🤷🏾‍♀️", "\U0001faf6"],
}
BETWEEN = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200f"]
SIGNS = [".", ",", "!?", "…", "—", "'s", "'ll", " 've", "'S", "’s", "''", "(", "12", "٣٤", "½", "_"]
SIGNS += ["<|endoftext|>", "\x00", "\x1c", "\x85", "\ufeff", "\u0301", "\u200d", "http://a.b/c?d=1"]


def texts_in_all_scripts(per_script, seed=0):
    """Seeded texts of 1 to 12 words in one script each, with odd spaces and signs."""
    draw = random.Random(seed)
    texts = []
    for letters in SCRIPTS.values():
        for _ in range(per_script):
            text = draw.choice(["", " ", "\n"])
            for _ in range(draw.randint(1, 12)):
                text += "".join(draw.choices(letters, k=draw.randint(1, 9)))
                text += draw.choice(["", "", draw.choice(SIGNS)]) + draw.choice(BETWEEN)
            texts.append(text)
    return texts


# Without surrogates, which are no characters, and without code points that Python does not know
# yet: tiktoken's Unicode edition and ours may differ in what they call a letter there.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
ANY_TEXT = st.text(CHARACTERS)
AWKWARD_TEXT = st.lists(
    st.one_of(st.sampled_from(BETWEEN + SIGNS), st.text(CHARACTERS, max_size=4)), max_size=20
).map("".join)


def merged(word, pair):
    """A list of tokens after one merge, by its definition: everywhere, from left to right."""
    word, place = list(word), 0
    while place < len(word) - 1:
        if (word[place], word[place + 1]) == pair:
            word[place : place + 2] = [pair[0] + pair[1]]
        place += 1
    return word


def darija():
    """The rows of the bundled sample in Darija."""
    sample = Path(__file__).parent.parent / "data" / "sample-darija.jsonl"
    return [json.loads(line)["text"] for line in sample.read_text(encoding="utf-8").splitlines()]
