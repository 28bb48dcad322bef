"""What the package did on one day, kept in files, so that a change of its insides can be checked.

    python tests/goldens/record.py           writes the files beside this one
    python tests/goldens/record.py --check   compares with them bit for bit and says what differs

Names of parts after either, such as ``metrics texts``, leave out the others.
``tests/test_goldens.py`` compares too, floats with a tolerance, so that it holds on other CPUs.
The folder ``run-verses``, a run that was killed after 30 of its 45 steps, is written only where it
is missing: later versions have to read the run of this one.
"""

import argparse
import contextlib
import hashlib
import io
import json
import math
import os
import random
import runpy
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

# All that is taken from the package by its name; the rest goes through the command line.
from gptcourse.exercises.catalogue import EXERCISES
from gptcourse.exercises.checks import judge, sentence
from gptlib.tokenizer import BPETokenizer, CharacterTokenizer, load_tokenizer
from gptlib.training.checkpoint import load_model

NEW_NAMES = {"layer_norms": "gradient_norms"}  # keys of the metrics: as recorded → as they are now
LAYERS_EVERY = "--log-layers-every"

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data"
RUN, KILLED_AT = HERE / "run-verses", "step-00000030"
Golden = dict[str, Any]


def gptlib(place: Path, *arguments: str) -> tuple[int, str, str]:
    """Run ``python -m gptlib …`` in this process, with `place` as its folder.

    Returns:
        Its exit code, what it printed, and what it said on standard error.
    """
    out, problems = io.StringIO(), io.StringIO()
    chosen = {"GPTLIB_PROFILE": "laptop", "GPTLIB_DEVICE": "cpu", "GPTLIB_CORPORA": "bundled"}
    with (
        contextlib.chdir(place),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(problems),
        patch.dict(os.environ, chosen),
        patch.object(sys, "argv", ["gptlib", *arguments]),
        patch.object(warnings, "formatwarning", warnings.formatwarning),  # the command sets its own
    ):
        try:
            runpy.run_module("gptlib", run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), problems.getvalue()


def said(place: Path, command: str, *more: str) -> str:
    """What a command prints, which has to work."""
    code, out, problems = gptlib(place, *command.split(), *more)
    if code:
        raise RuntimeError(f"gptlib {command}: {problems}")
    return out


def sha256(content: bytes) -> str:
    """In 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sample(file: str) -> list[str]:
    """The texts of a bundled .jsonl file."""
    return [json.loads(line)["text"] for line in (DATA / file).read_text("utf-8").splitlines()]


# Prepared corpora

CORPORA = {
    "story": "prepare sample-story --shards 2",
    "articles": "prepare sample-articles --test 0.1 --shards 4",
    "darija": "prepare sample-darija --clean darija --vocab-size 500 --shards 3",
    "own": r"prepare own-texts --separator \n%%\n --clean text --vocab-size 400 --shards 3"
    " --validation 0.3 --drop-shared",
}
VOLATILE = ("version", "sha256")  # of both JSON files: the format's number and the seal


def prepared(place: Path, name: str) -> Path:
    """The folder of a corpus, made at its first use."""
    if name == "own" and not (place / "own-texts").exists():
        write_own_texts(place / "own-texts")
    if not (place / name).exists():
        said(place, CORPORA[name], "--out", name)
    return place / name


def write_own_texts(folder: Path) -> None:
    """A .txt file of documents, of which every third quotes the same passage, and a .jsonl file."""
    folder.mkdir()
    first, *others = sample("sample-articles.jsonl")
    quote = "\n\n" + first.split("\n\n")[1]
    texts = [text + quote * (i % 3 == 0) for i, text in enumerate(others)]
    (folder / "articles.txt").write_bytes("\n%%\n".join(texts).encode())
    rows = [json.dumps({"text": text}) + "\n" for text in sample("sample-darija.jsonl")[::5]]
    (folder / "rows.jsonl").write_bytes("".join(rows).encode())


def corpora(place: Path) -> Golden:
    """Of four prepared corpora the hash of every file, and what ``report.json`` says.

    Paths are relative and no time is kept, so the same bytes come everywhere.
    """
    found: Golden = {"volatile, not kept of the report": VOLATILE}
    for name in CORPORA:
        folder = prepared(place, name)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        hashes = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in files}
        report = json.loads((folder / "report.json").read_bytes())
        report = {key: value for key, value in report.items() if key not in VOLATILE}
        found[name] = {"command": CORPORA[name], "files": hashes, "report": report}
    return found


# Training

RUNS = {
    # GPT-2's vocabulary, gradients of three micro-batches, clipped; dropout, warm-up and cosine
    "story": "train sample-story --model laptop --context-length 32 --width 32 --dropout 0.1"
    " --steps 10 --batch-size 2 --accumulation 3 --clip-norm 0.5 --learning-rate 3e-3"
    f" --warmup-steps 3 --evaluate-every 5 --evaluate-batches 4 {LAYERS_EVERY} 4"
    " --sample-every 0 --seed 1",
    "constant rate": "train sample-story --tokenizer characters --context-length 24 --n-layers 1"
    " --n-heads 2 --width 16 --steps 12 --batch-size 4 --learning-rate 3e-3"
    " --min-learning-rate 3e-3 --warmup-steps 0 --evaluate-every 4 --sample-every 6 --seed 2",
    "prepared": "train --data darija --context-length 32 --n-layers 2 --n-heads 2 --width 32"
    " --steps 10 --batch-size 4 --accumulation 2 --weight-decay 0.3 --betas 0.8 0.99"
    " --warmup-steps 2 --evaluate-every 3 --sample-every 0 --seed 3",
    # the run of which the first 30 steps are kept in `RUN`
    "verses": "train verses.txt --tokenizer characters --context-length 32 --n-layers 2"
    " --n-heads 2 --width 16 --dropout 0.1 --steps 45 --batch-size 8 --accumulation 2"
    " --learning-rate 2e-2 --warmup-steps 4 --evaluate-every 15 --evaluate-batches 4"
    " --checkpoint-every 15 --sample-every 15 --seed 4",
}
KEPT = ["step", "tokens", "learning_rate", "loss", "gradient_norm", "clipped_norm", "layer_norms"]
KEPT += ["validation_loss", "text", "parameters", "flops_per_token"]


def write_verses(place: Path) -> None:
    """A text of so few words that 30 steps are enough to learn something of it."""
    draw, words = random.Random(0), ["bee", "tree", "tea", "sea", "hat", "rat", "cat"]
    verses = [f"the {draw.choice(words)} sees a {draw.choice(words)}!" for _ in range(200)]
    (place / "verses.txt").write_bytes("\n".join(verses).encode())


def metrics(place: Path) -> Golden:
    """``metrics.jsonl`` of four runs, without times, memory, paths and versions."""
    prepared(place, "darija")
    write_verses(place)
    for name, command in RUNS.items():
        said(place, command, "--out", f"run of {name}")
    return {name: rows_of(place / f"run of {name}") for name in RUNS}


def rows_of(run: Path) -> list[Golden]:
    """What is compared of a run's metrics."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    names = {name: NEW_NAMES.get(name, name) for name in KEPT}
    return [{name: row[now] for name, now in names.items() if now in row} for row in rows]


def resumed(place: Path) -> tuple[int, list[Golden], str]:
    """Go on with a copy of the kept run: the exit code, its metrics, and what was complained of."""
    write_verses(place)
    shutil.copytree(RUN, place / RUN.name)
    code, _, problems = gptlib(place, *RUNS["verses"].split(), "--out", RUN.name, "--resume")
    return code, rows_of(place / RUN.name), problems


def write_run(place: Path) -> None:
    """Keep the first 30 steps of a run as a kill would have left them."""
    write_verses(place)
    said(place, RUNS["verses"], "--out", "whole")
    shutil.copytree(place / "whole", RUN, ignore=shutil.ignore_patterns(".lock", "train.log"))
    for folder in (RUN / "checkpoints").iterdir():
        if folder.name != KILLED_AT:
            shutil.rmtree(folder)
    state = json.loads((RUN / "checkpoints" / KILLED_AT / "state.json").read_bytes())
    lines = (RUN / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (RUN / "metrics.jsonl").write_bytes(b"".join(lines[: state["metrics_rows"]]))


# The kept run's model

GENERATE = [
    "--temperature 0",
    "--temperature 0 --max-new-tokens 1",
    "--temperature 0 --max-new-tokens 80",  # beyond the context of 32
    "--temperature 0 --repetition-penalty 1.3 --max-new-tokens 60",
    "--temperature 0 --num-return-sequences 2 --max-new-tokens 10",
    "--temperature 0 --prompt-of-50",
    "--seed 1",
    "--seed 1 --stream",
    "--seed 1 --max-new-tokens 90",
    "--seed 2",
    "--seed 3 --temperature 0.5 --max-new-tokens 60",
    "--seed 3 --temperature 1.7",
    "--seed 4 --top-k 1",
    "--seed 4 --top-k 5 --max-new-tokens 60",
    "--seed 5 --top-p 0.5",
    "--seed 5 --top-p 0.9 --top-k 20 --temperature 0.8",
    "--seed 6 --repetition-penalty 1.2 --max-new-tokens 50",
    "--seed 7 --num-return-sequences 3",
    "--seed 8 --num-return-sequences 2 --top-p 0.8 --repetition-penalty 1.1 --max-new-tokens 45",
    "--seed 9 --max-new-tokens 40 --prompt-of-50",
]


def texts(place: Path) -> Golden:
    """What ``generate`` prints, for each of its options."""
    written = {}
    for options in GENERATE:
        long = options.endswith(" --prompt-of-50")
        prompt = "the tree sees a sea!\nthe cat sees a bee!\nthe rat se" if long else "the bee"
        command = "generate " + options.removesuffix(" --prompt-of-50")
        written[options] = said(place, command, "--model", str(RUN), "--prompt", prompt)
    return written


def logits(_place: Path) -> Golden:
    """What the model expects behind a text, for each character."""
    model, tokenizer = load_model(RUN)
    assert isinstance(tokenizer, CharacterTokenizer)
    with torch.no_grad():
        values = model(torch.tensor([tokenizer.encode("the tree sees a")]))[0, -1].tolist()
    return dict(zip(tokenizer.characters, values, strict=True))


# Tokenizers

ODD = ["", " ", "\n", "a", "é", "ش", "🙂", "\t\t", "   x", "x   ", "\n\n\n y", "a\r\nb"]
ODD += ["\u00a0", "\u3000z", "I'll we've don't it's 'tis", "DON'T", "l’été, ça va ?", "naïve cœur"]
ODD += ["0", "1234567890", "3.14159", "٣٤٥", "½ ²", "1,000,000.00 $", "12h30", "0x1F", "où\u0301"]
ODD += ["def f(x):\n    return x ** 2  # square", "for(i=0;i<n;++i){a[i]<<=1;}", "<b>&amp;</b>"]
ODD += ["https://a.b/c?d=1&e=%20", "user@example.org", "C:\\new\\table", '{"a": [1, null]}', "```"]
ODD += ["<|endoftext|>", "a<|endoftext|>b", "<|endoftext", "\x00", "\x1c\x85", "\ufeffx"]
ODD += ["a\u200db", "👍🏽", "👩‍👩‍👧", "🇩🇿🇩🇿", "❤️‍🔥", "1️⃣", "السلام عليكم", "مُدَرِّسَةٌ", "ڨاع پچ"]
ODD += ["لا\u200fإله", "wach rak kho 3la slamtek", "ghadwa n9ra m3a sa7bi", "ياخي c'est bon هكا"]
ODD += ["شكرااااا", "هههه", "日本語のテキスト", "Привет, мир", "ⴰⵣⵓⵍ", "हिन्दी", "한국어", "ไทย"]
ODD += ["\U0010ffff", "!!!???", "—…«»", "_a_b__c", "ALL CAPS", "CamelCaseWord"]
LONG = ["a" * 300, " " * 65, "\n" * 33, "ab" * 100]


def texts_to_encode() -> list[str]:
    """300 texts: prose in three languages, oddities, and random mixtures of these."""
    story = (DATA / "sample-story.txt").read_text("utf-8").split("\n\n")[:60]
    articles = [text[:160] for text in sample("sample-articles.jsonl")[:30]]
    darija = sample("sample-darija.jsonl")[:80]
    every, draw = [*story, *articles, *darija, *ODD, *LONG], random.Random(0)
    while len(every) < 300:
        every.append("".join(draw.choices(ODD + darija[:20], k=draw.randint(2, 6))))
    return every


def ids(place: Path) -> Golden:
    """The ids of 300 texts by every tokenizer: in full where they are few, else their hash."""
    every = texts_to_encode()
    tokenizers = {
        "gpt2": load_tokenizer("gpt2"),
        "characters": CharacterTokenizer.train(every[:210]),  # the rest has others: refused
        "BPE of the story": BPETokenizer.train(every[:60], 400, ["<|endoftext|>"]),
        "BPE of Darija": load_tokenizer(prepared(place, "darija") / "tokenizer"),
    }
    about = {name: [each.vocab_size, each.fingerprint] for name, each in tokenizers.items()}
    rows = [[text[:20], *(spelled(each, text) for each in tokenizers.values())] for text in every]
    return {"tokenizers": about, "texts": sha256("\0".join(every).encode()), "rows": rows}


def spelled(tokenizer: Any, text: str) -> str:
    """The ids of a text in few characters."""
    try:
        found = tokenizer.encode(text)
    except ValueError:
        return "refused"
    assert tokenizer.decode(found) == text
    words = " ".join(map(str, found))
    return words if len(found) <= 8 else f"{len(found)} ids, {sha256(words.encode())[:12]}"


# Exercises


def proof(_place: Path | None = None, judged: bool = True) -> Golden:
    """For each exercise how many known right answers its check accepts, and the mistakes that it
    rejects, each by the sentence that a learner reads.

    Args:
        judged: try every one (half a minute); else only list what is known.
    """
    table = {}
    for name, exercise in EXERCISES.items():
        right = (exercise.right, *exercise.also_right)
        if judged:
            assert all(judge(exercise, function).passed for function in right), name
            assert not any(judge(exercise, wrong).passed for wrong in exercise.mistakes), name
        sentences = [sentence(mistake) for mistake in exercise.mistakes]
        table[name] = {"notebook": exercise.notebook, "right": len(right), "mistakes": sentences}
    return table


# The files

Part = Callable[[Path], Golden]
PARTS: dict[str, Part] = {part.__name__: part for part in (corpora, metrics, logits, texts, ids)}
PARTS["proof"] = proof


def recorded(part: str) -> Golden:
    """What the file of a part holds."""
    return json.loads((HERE / f"{part}.json").read_text("utf-8"))


def observed(part: str, place: Path) -> Golden:
    """The same of the package as it is; `place` is a folder to work in."""
    return json.loads(json.dumps(PARTS[part](place)))


def lines_of(value: Any, indent: str = "\n") -> str:
    """JSON of which a diff can be read: what fits on a line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= 240 or not isinstance(value, dict | list):
        return line
    deeper = indent + " "
    if isinstance(value, list):
        inner = [lines_of(each, deeper) for each in value]
        return f"[{deeper}{f',{deeper}'.join(inner)}{indent}]"
    inner = [f"{json.dumps(name)}: {lines_of(each, deeper)}" for name, each in value.items()]
    return f"{{{deeper}{f',{deeper}'.join(inner)}{indent}}}"


def differences(then: Any, now: Any, tolerance: float = 0.0, where: str = "") -> Iterator[str]:
    """Yield where two values of JSON differ; `tolerance` is relative, and for floats alone."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), tolerance, f"{where}/{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for i, (before, after) in enumerate(zip(then, now, strict=True)):
            yield from differences(before, after, tolerance, f"{where}/{i}")
    elif isinstance(then, float) and isinstance(now, float):
        if not math.isclose(then, now, rel_tol=tolerance):
            yield f"{where}: was {then!r}, is {now!r}"
    elif then != now:
        yield f"{where}: was {then!r:.200}, is {now!r:.200}"


def main() -> None:
    """Write the files, or compare with them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare bit for bit; write nothing")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; left out: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        if not RUN.exists() and not arguments.check:
            write_run(Path(folder))
        for part in arguments.parts or PARTS:
            now = observed(part, Path(folder))
            if arguments.check:
                found += [part + line for line in differences(recorded(part), now)]
            else:
                (HERE / f"{part}.json").write_bytes((lines_of(now) + "\n").encode())
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
