"""Ways to damage a file: (content, place, luck) → the new content, None where it is gone."""


def flip(content, place, luck):
    return content[:place] + bytes([content[place] ^ 1 << luck.randrange(8)]) + content[place + 1 :]


def insert(content, place, luck):
    return content[:place] + luck.randbytes(1) + content[place:]


def blank(content, place, luck):
    while not any(content[place : place + 16]):  # zeros, where there were some already
        place = luck.randrange(len(content))
    return content[:place] + bytes(len(content[place : place + 16])) + content[place + 16 :]


DAMAGE = {
    "flip": flip,
    "truncate": lambda content, place, luck: content[:place],
    "zero": blank,
    "insert": insert,
    "append": lambda content, place, luck: content + luck.randbytes(1 + luck.randrange(9)),
    "delete": lambda content, place, luck: None,
}
