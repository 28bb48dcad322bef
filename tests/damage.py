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

# Contents of a JSON file that is none, or holds no object
NO_OBJECT = {
    "a number": b"7",
    "a list": b"[]",
    "empty": b"",
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe{}",
    "long number": b'{"sha256": ' + b"9" * 5_000 + b"}",
}
