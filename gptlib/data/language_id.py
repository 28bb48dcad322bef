"""What language a row is in: Darija in Arabic or Latin letters, French, both, or something else.

Two questions, in this order. Which script: the share of Arabic letters. Which language, for Latin
letters: the function words that occur. Nothing is learned, so each answer can be explained.

Not handled: standard Arabic and Darija are both "arabic" (they share most of their function
words). A row of one or two words that are in no list is "other", in Arabic letters "arabic".
"""

import html
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Literal

import regex

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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Function words (articles, pronouns, prepositions, auxiliaries) are few, short and in nearly every
# sentence, whatever it is about: 200 of them tell languages apart where a dictionary of content
# words would not, because Darija borrows French nouns freely and hardly ever French function words.
# To these come the greetings that make up whole comments. A word that two languages spell alike
# ("ma", "ou", "a", "fin") stands in no list, so it says nothing; one that is a word of both but
# far more frequent in one ("la", "on", "me": French) stands there alone.
FUNCTION_WORDS: dict[Language, frozenset[str]] = {
    "french": _words(
        """
    bjr dommage magnifique bienvenue livraison prix salutations superbe sublime joyeux
    le la les un une des du de au aux ce cet cette ces et mais donc car puis ni que qui quoi dont
    où quand comment pourquoi combien je tu il elle on nous vous ils elles moi toi lui eux leur
    leurs se me te y en mon ton son mes tes ses notre votre nos vos suis es est sommes êtes sont
    étais était étaient être été ai avons avez ont avait avaient avoir eu fait faire faut va
    vais vas vont aller peux peut pouvez veux veut voulez dois doit pas plus ne jamais rien personne
    toujours encore déjà très trop bien bon bonne mal peu beaucoup tout tous toute toutes même
    autre aussi comme si dans sur sous avec sans pour par chez entre vers depuis pendant avant après
    contre ici là oui non voilà voici ça cela merci bonjour bonsoir salut bravo félicitations svp
    stp slt mdr bcp pk pcq tkt jsuis cest jai franchement vraiment alors parce ceux celui celle
    chaque quel quelle quels quelles plusieurs aucun aucune frère soeur monsieur madame maintenant
    demain hier soir matin jour toutefois
    j' l' d' c' n' s' m' t' qu' jusqu' lorsqu' puisqu' quelqu' aujourd'
    """
    ),
    # Latin spelling of Darija is free, so the frequent words stand in their frequent variants.
    "arabizi": _words(
        """
    salam slm selem alikoum alikom likom khawti khawa khawtna waldik waldih rahmo lah 3likom
    rani rana rak raki rakom rakoum rahi raho rahou rahom rahoum wach wesh wech wash chkoun chkon
    kifach kifah kifech kifash 3lach alach 3lah alah lach wa9tach winta waktach chhal ch7al
    ch3al win wein winek kima kif bach bech bark barka bezzaf bezaf bzaf bzzaf bezef bzef
    chwiya chwia chouia chwaya chwya walou walo wallah wellah wallahi wlh inchallah nchallah
    inshallah nshallah hamdoullah hamdoulah hamdulillah hamdulilah elhamdoulilah mashallah machallah
    machaallah tbarkallah allah rebi rebbi rabi rabbi yarab yarabi khouya khoya khoia khouia kho
    khti sahbi saha sahit sa7it sahha yemma yema weld wlad bent bnat drari rajel mra nas
    nass jma3a dork derk drok dorka doka dok darwek drwek ghodwa ghedwa ghodoua lbareh elbareh
    lyoum elyoum lyouma lioum hada hadi hadou hadouk hadak hadik hadeka hadika hakda hakka haka hna
    hnaya hnak tem ntouma ntoma ntaya nta enta nti ntiya houwa howa hiya homa houma ana 7na mech
    mechi machi mazal mazel ghir ghi gha kayen kayn kayna makach makanch makaynch kanet kanou kount
    kont konna konti konto fel fal fih fiha fihom bih biha bihom 3la m3a maa wella wela
    wala ida ila ya yaw yak yakhi yaakhi hih ih iih lala nta3 nta3i ta3 te3 ta3i
    taa taak taai tani bssah besah bessah bsah lazem lazmek lazmna kamel kolch koulch kolchi gaa
    gaaa ga3 kan yji yjib jab jat jaw jina rah raha rouh rohi ro7 arwah arwahi ndir ndirou tdir ydir
    dir dirou dert dart daro darou nrouh nrohou yrouh trouh nheb nhab t7eb thab yheb habit hab habou
    nchouf chouf choufou choft cheft nakol nqoul ngoul ygoul goul galou gali gal hdar yahder chafou
    labas labes mlih mliha mlah chbab chaba zin zina mezian khir khayr lkhir elkhir sbah sba7
    dar eddar ddar darna bled bladi lblad blad dzayer dzair eldjazair l7ouma houma hab9a yatik
    y3ik ya3tik yaatik yarham yerhem yarhmo yerhmou meskin meskina msakin w f fi
    men mel mn bla mor mour ki li lli elli illi kol koul wahed wahda zouj tlata rabha nhar lil
    chhar 3am l3am hkaya hdra khedma khdma nekhdem yekhdem drahem swalah haja hwayej sob7an sobhan
    dima dayman daymen jib jibou rouhi hadra hadret liya lik bik biya bina fik fiya fina menha
    menhom mennou choukran chokran chukran koulchi mabrouk mabrok sem7ili smahli smehli nadi hablo
    yhabel yehbel tehbel hayla hayel
    """
    ),
    # English first, then a few words each of Spanish, Portuguese, Italian, German, Turkish,
    # Indonesian and Kabyle: enough to say "not ours".
    "other": _words(
        """
    the this that these those is are was were been being be have has does did doing will would could
    should i you he she we they them his her hers him our your yours my mine its and because not
    of to in it at from with by about into so very too just who what where why how which when there
    here then than more most all any some every no yes please thanks thank hello hi good great nice
    love like watch watching know think need want make best song never always again
    for up out do can get got one people anyone someone lmao omg pls
    i' don' it' can' that' you' he' she' we' they' isn' didn' doesn' won' let' what' there' wasn'
    los las por para muy pero esta como yo gracias hola und ich nicht das ist mit auf eine wie geht
    guten bir çok için ve bu may their also well if but as
    una unos unas del lo sus mi este esta esto eso fue cuando donde porque sobre hasta desde tiene
    puede hacer todo todos nada siempre mejor quien quiero tengo muchas soy con
    não muito obrigado mas gosto uma dos das sehr danke ein dieses het een niet voor zijn
    gli di dei delle della dal dalla nel nella alla per che ho hai anche ancora tutto tutti molto
    dove bene sul questo questa quello vostra vostro nostra nostro sono essere stato piace grazie
    ciao olsun olmuş razı hocam selam merhaba eylesin terima kasih dari saya azul fellawen tanmirt
    tanemmirt akken amek acu anwa anda deg seg nekk ur ad tura talwit
    """
    ),
}
# Words that Arabic does not have, most by their very letters (ی, ک, ہ). Persian first, then Urdu.
PERSIAN_URDU = _words(
    """
    است این که چه های هایی می برای خیلی هست نیست چرا کجا چقدر
    ہے ہیں کا کی کے کو میں سے یہ وہ نہیں بہت آپ ہوں تھا تھی اچھی اچھا
    """
)

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
    text = ADDRESS.sub(" ", text)
    untagged = HASHTAG.sub(" ", text)
    text = untagged if LETTER_RUN.search(untagged) else text.replace("_", " ")
    return STRETCHED.sub(r"\1", text)


def _latin_language(text: str, words: list[str]) -> Language:
    """The language that most words speak for."""
    votes = Counter(map(_language_of_word, words))
    french, other = votes["french"], votes["other"]
    digits, negations = sum(map(_has_arabizi_digit, words)), len(NEGATION.findall(text))
    arabizi = votes["arabizi"] + 2 * digits + negations
    if arabizi == french == other == 0:
        french = sum(bool(FRENCH_ENDING.fullmatch(word)) for word in words)
        arabizi = sum(bool(ARABIZI_FORM.fullmatch(word)) for word in words)
    if max(arabizi, french, other) < LEAST_EVIDENCE * len(words):
        return "other"
    if arabizi and arabizi >= CODE_SWITCH * french and arabizi >= other:
        return "arabizi"
    return "french" if french > other else "other"


def _language_of_word(word: str) -> Language | None:
    """The language whose list or spelling a word has; None where it says nothing."""
    for language, listed in FUNCTION_WORDS.items():
        if word in listed:
            return language
    if FOREIGN_LETTER.search(word):
        return "other"
    if CLUSTER.fullmatch(word):
        return "arabizi"
    return "french" if FRENCH_ACCENT.search(word) else None


def _is_stray(runs: list[str], words: list[str]) -> bool:
    """Whether Latin letters stand alone, as in "plan B"; in s7i7 they do not."""
    return max(map(len, runs)) < 2 and not any(map(_has_arabizi_digit, words))


def _has_arabizi_digit(word: str) -> bool:
    return bool(ARABIZI_DIGIT.fullmatch(word)) and not NUMBER_WITH_UNIT.fullmatch(word)
