"""A small made-up world: stories with facts, questions about them, and words of four kinds."""

import random

NAMES_TEXT = (
    "Lina Karim Nadia Samir Amel Yacine Sara Omar Dina Hakim Leila Rachid Salma Anis Mina Tarek "
    "Rania Walid Nora Idir Zahra Malik Farah Jamil Houda Adel Ines Bilal Warda Ziad"
)
NAMES = NAMES_TEXT.split()
KINDS = {
    "place": "Oran Algiers Bejaia Setif Annaba Tlemcen Batna Blida Jijel Mila Guelma Skikda Biskra "
    "Tipaza Medea Saida",
    "color": "red blue green black white yellow brown grey",
    "job": "baker teacher doctor painter sailor farmer driver tailor",
    "fruit": "figs dates olives lemons grapes oranges apples plums",
}
WORDS = {kind: words.split() for kind, words in KINDS.items()}
THINGS = ("car", "boat", "door", "coat", "chair", "house", "bag", "cup")
LINKS = (
    *("In the morning it rained.", "Then the wind turned.", "They met at the market."),
    *("It was late.", "Nobody said a word.", "The street was quiet.", "After a while they left."),
)
FACTS = {  # what is told of a person, asked, and told again
    "place": ("{p} lives in {a}.", "Where does {p} live?",
              ("Later {p} went home to {a}.", "They all visited {p} in {a}.")),
    "color": ("{p} has a {a} {t}.", "What color is the {t} of {p}?",
              ("The {a} thing of {p} was old.", "Everybody knew the {a} one of {p}.")),
    "job": ("{p} is a {a}.", "What is the work of {p}?",
            ("Every {a} knows that, said {p}.", "As a {a}, {p} was tired.")),
    "fruit": ("{p} likes {a}.", "What does {p} like?",
              ("So {p} bought {a}.", "They gave {p} some {a}.")),
}  # fmt: skip
NEUTRAL = ("{p} said {a}.", "Nobody said {a}.", "Later {p} said {a}.", "It was {a}.")


def scene(rng: random.Random, names: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Three people, a sentence about each and perhaps one about the weather; and the facts."""
    facts = []
    for person in rng.sample(names, 3):
        kind = rng.choice(list(FACTS))
        fact = {"p": person, "kind": kind, "a": rng.choice(WORDS[kind]), "t": rng.choice(THINGS)}
        facts.append(fact)
    told = [FACTS[fact["kind"]][0].format(**fact) for fact in facts]
    if rng.random() < 0.7:
        told.insert(rng.randrange(4), rng.choice(LINKS))
    return told, facts


def story(rng: random.Random) -> str:
    """A scene, one or two of whose facts come again."""
    told, facts = scene(rng, NAMES)
    for fact in rng.sample(facts, rng.choice([1, 2])):
        told.append(rng.choice(FACTS[fact["kind"]][2]).format(**fact))
    return " ".join(told)


def question(rng: random.Random, names: list[str]) -> dict[str, str]:
    """A scene, a question about one of its people, and the sentence that answers it."""
    told, facts = scene(rng, names)
    fact = rng.choice(facts)
    sentence, asked, _ = FACTS[fact["kind"]]
    texts = {"question": asked.format(**fact), "answer": sentence.format(**fact)}
    return {"context": " ".join(told), **texts}


def labeled(rng: random.Random, n: int, test: bool) -> list[dict[str, str]]:
    """Sentences that give no hint but the word; the words of the test never have a label."""
    rows = []
    for number in range(n):
        kind = list(WORDS)[number % len(WORDS)]
        word = rng.choice(WORDS[kind][test::2])
        text = rng.choice(NEUTRAL).format(p=rng.choice(NAMES), a=word)
        rows.append({"text": text, "label": kind})
    return rows
