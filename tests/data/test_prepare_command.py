"""``prepare`` and ``inspect`` as a user types them: what they print, write, and refuse."""

import shlex
import sys

import pytest
from damage import rewrite
from shard_texts import DOCUMENTS, TOKENIZER, contents, prepared_folder

from gptlib import cli
from gptlib.data.cleaning import darija_cleaner
from gptlib.data.corpora import load_corpus
from gptlib.data.prepare import open_prepared, prepare

SMALL = ["--vocab-size", "300"]


@pytest.fixture
def gptlib(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; return its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gptlib", *map(str, arguments)])
        try:
            cli.main()
            exit_code = 0
        except SystemExit as stop:
            exit_code = stop.code or 0
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


def test_darija_is_cleaned_and_prepared_as_by_the_functions(gptlib, tmp_path):
    options = ["--clean", "darija", "--no-arabizi", "--test", "0.1", "--shards", "3"]
    exit_code, out, _ = gptlib("prepare", "sample-darija", *options, *SMALL, "--out", "ours")
    assert exit_code == 0 and 'python -m gptlib train --data "ours"' in out
    cleaner, source = darija_cleaner(arabizi=False), "sample-darija: written for this course (MIT)"
    documents = load_corpus("sample-darija").documents
    prepare(documents, tmp_path / "theirs", 300, cleaner, 3, source, test=0.1)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert cleaner.report.table() in out and "Arabizi" in out


def test_what_is_printed_is_what_lies_in_the_folder(gptlib, tmp_path):
    _, out, _ = gptlib("prepare", "sample-articles", *SMALL, "--out", "out", "--drop-shared")
    prepared = open_prepared(tmp_path / "out")
    for name, counts in prepared.index.splits.items():
        tokens = len(prepared.tokens(name))
        row = next(line.split() for line in out.splitlines() if line.startswith(name))
        shards = len(prepared.index.of(name))
        share = f"{counts['text_bytes'] / tokens:.2f}"
        assert row == [name, str(counts["documents"]), f"{tokens:,}", share, str(shards)]
    told = out[: out.index("took")]
    assert gptlib("inspect", "out", "--pieces", 0)[1] == told


TYPED = {
    "out": '"out"',
    "my texts": '"my texts"',
    "نصوص": '"نصوص"',
    """a "b" c""": """'a "b" c'""",
    "$HOME `ls` it's!": """'$HOME `ls` it'"'"'s!'""",
}


@pytest.mark.parametrize("name, typed", TYPED.items())
def test_the_lines_to_type_next_can_be_typed(gptlib, name, typed):
    out = gptlib("prepare", "sample-story", *SMALL, "--out", name)[1]
    look, train = out.splitlines()[-2:]
    assert look == f"look     python -m gptlib inspect {typed}"
    assert train == f"train    python -m gptlib train --data {typed}"
    assert shlex.split(typed) == [name]


@pytest.mark.parametrize("documents, told", [(19, True), (20, False)])
def test_a_corpus_too_short_to_part_is_said_to_be_cut(gptlib, tmp_path, documents, told):
    (tmp_path / "lines.txt").write_text("\n\n".join(DOCUMENTS))
    some = ["--separator", r"\n\n", "--documents", documents]
    _, out, _ = gptlib("prepare", "lines.txt", *some, *SMALL, "--out", "out")
    assert ("fewer than 20 documents came" in out) is told


def test_a_prepared_folder_is_no_corpus(gptlib, tmp_path):
    prepared_folder(tmp_path / "done")
    exit_code, _, err = gptlib("prepare", "done", *SMALL, "--out", "out")
    assert exit_code == 2 and "done is a prepared folder: give the corpus" in err
    assert not (tmp_path / "out").exists()


def test_texts_of_ones_own_may_lie_in_a_folder_named_shards(gptlib, tmp_path, monkeypatch):
    texts = tmp_path / "mine" / "shards"
    texts.mkdir(parents=True)
    (texts / "lines.txt").write_text("\n".join(DOCUMENTS))
    exit_code, out, _ = gptlib("prepare", "mine", *SMALL, "--out", "out")
    assert exit_code == 0 and out.startswith("source   mine: mine (your own text)")
    monkeypatch.chdir(texts)  # the folder one is in is called by its name, a tokenizer by its own
    TOKENIZER.save(tmp_path / "own")
    out = gptlib("prepare", ".", "--tokenizer", "../../own", "--out", "../../again")[1]
    assert out.startswith("source   shards: . (your own text)")
    assert open_prepared(tmp_path / "again").tokenizer.fingerprint == TOKENIZER.fingerprint


def test_a_blank_line_is_typed_as_backslash_n(gptlib, tmp_path):
    (tmp_path / "lines.txt").write_bytes("\r\n\r\n".join(DOCUMENTS).encode())
    parted = ["--separator", r"\n\n", "--documents", 30]
    assert gptlib("prepare", "lines.txt", *parted, *SMALL, "--out", "out")[0] == 0
    splits = open_prepared(tmp_path / "out").index.splits.values()
    assert sum(counts["documents"] for counts in splits) == 30
    size = sum(len("".join(text.split("\n\n")).encode()) for text in DOCUMENTS[:30])
    assert sum(counts["text_bytes"] for counts in splits) == size


def test_pieces_are_places_of_the_training_split_that_the_seed_draws(gptlib, tmp_path):
    gptlib("prepare", "sample-articles", *SMALL, "--out", "out")
    pieces = [
        [
            line
            for line in gptlib("inspect", "out", "--seed", seed)[1].splitlines()
            if "piece " in line
        ]
        for seed in (0, 0, 1)
    ]
    assert pieces[0] == pieces[1] != pieces[2] and len(pieces[0]) == 3
    prepared = open_prepared(tmp_path / "out")
    place, text = pieces[0][0].removeprefix("piece    at ").split(": ", 1)
    place = int(place.replace(",", ""))
    ids = prepared.tokens("train")[place : place + 16].tolist()
    assert prepared.tokenizer.decode(ids).startswith(text.partition("\\")[0].rstrip("…"))


def test_shards_alone_are_inspected_without_pieces(gptlib, tmp_path):
    gptlib("prepare", "sample-story", *SMALL, "--out", "out")
    exit_code, out, _ = gptlib("inspect", "out/shards", "--verify")
    assert exit_code == 0 and "the tokenizer that made the ids, bpe-300, is not here" in out
    assert "verified every byte of 23 shards" in out


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def another_version(path):
    rewrite(path, lambda values: values.update(version=2))


DAMAGED = [
    ("shards/train-00003.npy", flipped, ["--verify"], "train-00003.npy was altered"),
    ("shards/shards.json", flipped, [], "shards.json"),
    ("shards/train-00003.npy", lambda path: path.unlink(), [], "train-00003.npy"),
    ("report.json", flipped, [], "report.json"),
    ("report.json", lambda path: path.unlink(), [], "report.json cannot be read"),
    ("report.json", another_version, [], "report.json has version 2, not 1"),
    ("tokenizer/merges.txt", lambda path: path.unlink(), ["--verify"], "merges.txt"),
    ("tokenizer/merges.txt", lambda path: path.unlink(), [], "merges.txt"),
]


@pytest.mark.parametrize("file, damage, options, words", DAMAGED)
def test_inspect_names_what_is_damaged(gptlib, tmp_path, file, damage, options, words):
    gptlib("prepare", "sample-story", *SMALL, "--out", "out")
    damage(tmp_path / "out" / file)
    exit_code, _, err = gptlib("inspect", "out", *options)
    assert exit_code == 2 and words in err and len(err.splitlines()) == 1


BAD = [
    (["gone"], "no corpus 'gone', and no file or folder of that name: give one of"),
    ([""], "the corpus has an empty name"),
    (["half.jsonl"], "half.jsonl, line 2 is not JSON"),
    (["folder"], "folder holds no text"),
    (["hub:x"], "is no address of a data set"),
    (["sample-story", "--out", "folder"], "folder exists: give another folder"),
    (["sample-story", "--out", "."], ". exists: give another folder"),
    (["sample-story", "--out", "half.jsonl/x"], "half.jsonl is a file: give another folder"),
    (["sample-story", "--tokenizer", "gone"], "gone holds no tokenizer"),
    (["sample-story", "--tokenizer", "gone", *SMALL], "gone and --vocab-size 300 say two things"),
    (["sample-story", "--validation", "1"], "validation 1.0 and test 0.0"),
    (["sample-story", "--test", "nan"], "validation 0.1 and test nan"),
    (["sample-story", "--language", "ar"], "has no language 'ar'"),
    (["sample-story", "--separator", "x"], "--separator 'x' cannot part 'sample-story'"),
    (["half.jsonl", "--separator", ""], "--separator '' cannot part 'half.jsonl'"),
    (["sample-darija", "--clean", "frnch"], "frnch"),
    (["sample-darija", "--no-arabizi"], "--no-arabizi does nothing with --clean none"),
    (["sample-darija", "--shortest", "3"], "--shortest does nothing with --clean none"),
    (["sample-darija", "--clean", "text", "--least-arabic", "1"], "--least-arabic does nothing"),
    (["sample-darija", "--clean", "darija", "--least-arabic", "2"], "an Arabic share of 2.0"),
    (["sample-darija", "--clean", "text", "--longest", "2"], "lengths from 5 to 2"),
    (["sample-darija", "--clean", "text", "--shortest", "9999"], "no document is left of the 595"),
    (["sample-story", "--clean", "darija"], "that came (dropped: no words, or another language 1)"),
]


@pytest.mark.parametrize("arguments, words", BAD, ids=[" ".join(line) for line, _ in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(gptlib, tmp_path, arguments, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "half.jsonl").write_text('{"text": "a"}\n{"text": \n')
    size = () if "--tokenizer" in arguments else SMALL
    exit_code, _, err = gptlib("prepare", "--out", "out", *size, *arguments)
    assert exit_code == 2 and words in err and "Traceback" not in err
    assert len(err.splitlines()) == 1 or err.startswith("Usage")
    assert {path.name for path in tmp_path.iterdir()} <= {"folder", "half.jsonl", ".out.part.lock"}


@pytest.mark.parametrize("place", [".", "gone", "half.txt"])
def test_inspect_says_what_it_would_like_to_be_given(gptlib, tmp_path, place):
    (tmp_path / "half.txt").write_text("half")
    exit_code, _, err = gptlib("inspect", place)
    assert exit_code == 2 and "holds neither shards/ nor shards.json" in err
