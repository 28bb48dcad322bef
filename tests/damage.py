"""Ways to damage the files of a folder, and to change a manifest as someone would who means it."""

import json
import random

from gptlib.files import manifest_bytes


def flip(content, place, luck):
    return content[:place] + bytes([content[place] ^ 1 << luck.randrange(8)]) + content[place + 1 :]


def insert(content, place, luck):
    return content[:place] + luck.randbytes(1) + content[place:]


def blank(content, place, luck):
    while not any(content[place : place + 16]):  # zeros, where there were some already
        place = luck.randrange(len(content))
    return content[:place] + bytes(len(content[place : place + 16])) + content[place + 16 :]


# (content, place, luck) → the new content, None where it is gone
DAMAGE = {
    "flip": flip,
    "truncate": lambda content, place, luck: content[:place],
    "zero": blank,
    "insert": insert,
    "append": lambda content, place, luck: content + luck.randbytes(1 + luck.randrange(9)),
    "delete": lambda content, place, luck: None,
}
MUTATIONS = 204  # each kind on each of three or four files, at 8 to 12 places

# Contents of a JSON file that is none, or holds no object
NO_OBJECT = {
    "a number": b"7",
    "a list": b"[]",
    "empty": b"",
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe{}",
    "long number": b'{"sha256": ' + b"9" * 5_000 + b"}",
}


def mutations(folder, files, seed=0):
    """Damage one file after the other, and mend it again; yields its name and the kind."""
    pairs = [(kind, file) for kind in DAMAGE for file in files]
    for number in range(MUTATIONS):
        kind, file = pairs[number % len(pairs)]
        luck, content = random.Random(f"{seed} {number}"), (folder / file).read_bytes()
        changed = DAMAGE[kind](content, luck.randrange(len(content)), luck)
        (folder / file).unlink()
        if changed is not None:
            assert changed != content
            (folder / file).write_bytes(changed)
        yield file, kind
        (folder / file).write_bytes(content)


def rewrite(manifest, change):
    """Change a manifest, and make its hash fit."""
    content = json.loads(manifest.read_bytes())
    del content["sha256"]
    change(content)
    manifest.write_bytes(manifest_bytes(content))
