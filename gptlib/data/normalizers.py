"""What the steps of cleaning change in a text: each function takes one and returns it.

Done twice, each does what it did once.
"""

import re
import unicodedata

import regex

# Direction and zero-width marks, the byte-order mark, soft hyphens (Cf), control characters (Cc)
# but for white space, private and unassigned code points. The joiner between two emoji stays.
MARK = regex.compile(
    r"(?<!\p{Extended_Pictographic}[\ufe0f\U0001f3fb-\U0001f3ff]?)\u200d"
    r"|\u200d(?!\p{Extended_Pictographic})|[\p{Cf}\p{Cc}\p{Co}\p{Cn}--\s\x1c-\x1f\u200d]",
    regex.V1,
)
PRESENTATION_FORM = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]")
# What sites write for a character, once or on top of each other (&amp;quot;), and for a new line.
ENTITY = re.compile("&(?:amp;)*(#0?39|quot|lt|gt|nbsp|amp);")
SHOWN = {"#39": "'", "#039": "'", "quot": '"', "lt": "<", "gt": ">", "nbsp": " ", "amp": "&"}
LINE_BREAK = re.compile("<br ?/?>")
SPACES = re.compile(r"\s{2,}|[^\S \n]")
LINE_END = re.compile("\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")
REPEATED = re.compile(r"(\D{1,4}?)\1{3,}", re.DOTALL)
# What leads to a person or a page.
ADDRESS = re.compile(
    r"(?P<email>(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<link>\bhttps?://\S+|\bwww\.\S+|\b[\w-]{1,63}\.(?:com|net|org|dz|fr|be|ly|me|io)\b\S*)"
    r"|@(?P<user>\w(?:[\w.-]*\w)?)",
    re.IGNORECASE,
)
# A number of nine digits or more that begins with + or 0, with its spaces.
PHONE = re.compile(r"[+0٠](?<![\w.,+].)(?:[ .-]?\d){8,14}(?!\d|[.,]\d)")
SIGN_OF_ADDRESS = re.compile(r"@|\.\w|://")
MASKS = ("email", "link", "phone")


def remove_marks(text: str) -> str:
    """Take out what a reader cannot see and a tokenizer can; printable text has none of it."""
    return text if text.isprintable() else MARK.sub("", text)


def normalize_unicode(text: str) -> str:
    """Bring Unicode to NFC, and Arabic presentation forms (ﺳ ﻼ ﷲ) to the letters that they show.

    NFKC is asked for these forms only, as it would change x² to x2. It gives an isolated vowel mark
    a space to stand on, which was never written.
    """
    if not text.isascii():
        text = PRESENTATION_FORM.sub(
            lambda form: unicodedata.normalize("NFKC", form[0]).lstrip(), text
        )
    return unicodedata.normalize("NFC", text)


def resolve_html(text: str) -> str:
    """Write what a page shows for a comment's HTML: j&#39;aime → j'aime, <br> → a new line."""
    return LINE_BREAK.sub("\n", ENTITY.sub(lambda entity: SHOWN[entity[1]], text))


def fold_spaces(text: str) -> str:
    """Leave one space of a run of spaces, one blank line of several, and nothing at the ends."""
    return SPACES.sub(lambda run: "\n" * min(2, len(LINE_END.findall(run[0]))) or " ", text).strip()


def limit_repeats(text: str) -> str:
    """Let a run of one to four characters repeat three times at most: هههههه → ههه, !!!!!! → !!!.

    Units of up to four cover hahahaha and emoji of two code points; digits stay. Source: NLTK's
    tweet tokenizer (`reduce_lengthening`) cuts to three, which no word needs more of.
    """
    shorter = REPEATED.sub(r"\1\1\1", text)
    while shorter != text:  # what is left can repeat in its turn
        text, shorter = shorter, REPEATED.sub(r"\1\1\1", shorter)
    return text


def mask_addresses(text: str) -> str:
    """Write @email, @link, @user or @phone for what leads to a person or a page.

    They are a quarter of the characters of real tweets, and names would come out in samples. The
    masks begin with @, so `detect_language` takes them for names and looks at none of them.
    """
    if has_address(text):
        text = ADDRESS.sub(_mask, text)
    return PHONE.sub("@phone", text) if "0" in text or "+" in text or "٠" in text else text


def has_address(text: str) -> bool:
    """Whether `ADDRESS` is worth looking for, which takes longer."""
    return SIGN_OF_ADDRESS.search(text) is not None


def _mask(address: re.Match[str]) -> str:
    masked_before = address["user"] in MASKS
    return address[0] if masked_before else f"@{address.lastgroup}"
