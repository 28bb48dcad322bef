"""Corpora of the hub, through the installed `datasets`, from a small hub on the loopback."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import hub_server
import pytest
from hub_reader import CANARY, Reader
from hub_server import table
from hypothesis import given
from hypothesis import strategies as st

from gptlib.data.corpora import CORPORA, find_corpus, load_corpus, stream_corpus
from gptlib.data.hub import parse_address, silence_of
from gptlib.errors import CorpusError

ARTICLES = [f"Article {number}. " + "word " * 400 for number in range(400)]
DARIJA = ["وحد نهار", "wesh rak", "", "لاباس\r\nعليك"]
READ_DARIJA = ["وحد نهار", "wesh rak", "لاباس\nعليك"]
HURRY = 24  # how much shorter a stall is in the tests than the real one
TRIES = 6  # at most: the hub's library goes on with a broken file so often
CARD = """---
configs:
- config_name: 20231101.ar
  data_files: [{split: train, path: 20231101.ar/*.parquet}]
- config_name: 20231101.en
  data_files: [{split: train, path: 20231101.en/*.parquet}]
---
"""


def repositories():
    """Tiny data sets under the names of the real ones, with their columns."""
    part = "train-00000-of-00001.parquet"
    english = [
        table(url=[""] * 200, text=ARTICLES[start : start + 200], row_group=20)
        for start in (0, 200)
    ]
    return {
        "wikimedia/wikipedia": {
            "README.md": CARD.encode(),
            "20231101.en/train-00000-of-00002.parquet": english[0],
            "20231101.en/train-00001-of-00002.parquet": english[1],
            f"20231101.ar/{part}": table(url=["u"], text=["مرحبا"]),
        },
        "ayoubkirouane/Algerian-Darija": {
            f"data/{part}": table(Text=["noisy"]),
            "data/v1-00000-of-00001.parquet": table(Text=DARIJA),
        },
        "Skylion007/openwebtext": {f"plain_text/{part}": table(text=["one", "two", "three"])},
        "nampdn-ai/tiny-textbooks": {f"{part}": table(source=["s"], textbook=["Lesson 1"])},
        "someone/lines": {
            "train.jsonl": b'{"id": 1, "body": "first"}\n{"id": 2, "body": "second"}\n',
            "test.jsonl": b'{"id": 3, "body": "third"}\n',
        },
        "someone/code": {"code.py": b"raise SystemExit('remote code ran')\n"},
    }


@pytest.fixture(scope="module")
def server():
    with hub_server.running(repositories()) as running:
        running.gated["nampdn-ai/tiny-textbooks"] = CANARY
        yield running


@pytest.fixture(scope="module")
def child(server, tmp_path_factory):
    child = Reader(tmp_path_factory.mktemp("hub") / "reader", server.url)
    child.ask("hurry", times=1)
    yield child
    child.close()


@pytest.fixture
def reader(child, server):
    """The child, logged in, on a line without fault."""
    child.ask("variable", "HF_TOKEN", value=CANARY)
    yield child
    server.fault = server.where = ""
    child.ask("hurry", times=1)
    for name in ("HF_HUB_OFFLINE", "GPTLIB_CORPORA", "HF_TOKEN"):
        child.ask("variable", name, value=None)


def data_asked(server):
    return [path for _, path, _ in server.asked if path.endswith(".parquet")]


# What is read


NAMED = {
    "wikipedia": (ARTICLES[:3], "CC BY-SA 3.0 and GFDL"),
    "darija": (READ_DARIJA, "CC BY 4.0"),
    "openwebtext": (["one", "two", "three"], "CC0"),
    "tiny-textbooks": (["Lesson 1"], "Apache-2.0"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_named_corpus_streams_and_loads_from_the_hub(name, reader):
    documents, license = NAMED[name]
    assert reader.ask("stream", name, documents=3)["documents"] == documents
    loaded = reader.ask("load", name, documents=3)
    assert loaded["documents"] == documents
    assert loaded["license"] == license and CORPORA[name].repository in loaded["source"]


def test_the_whole_of_a_corpus_is_its_documents_without_the_blank_ones(reader):
    assert reader.ask("stream", "wikipedia")["documents"] == ARTICLES
    assert reader.ask("load", "darija")["documents"] == READ_DARIJA
    arabic = reader.ask("load", "wikipedia", language="ar", documents=9)
    assert arabic["documents"] == ["مرحبا"]


@pytest.mark.parametrize(
    ("address", "documents"),
    [
        ("hub:someone/lines?column=body", ["first", "second"]),
        ("hub:someone/lines?column=body&split=test", ["third"]),
        ("hub:someone/lines?column=body&split=train[1:]", ["second"]),
        ("hub:someone/lines?column=body&split=train[:50%]", ["first"]),
        ("hub:wikimedia/wikipedia?config=20231101.ar", ["مرحبا"]),
    ],
)
def test_any_data_set_is_read_by_its_address(address, documents, reader):
    for do, choices in (("stream", {}), ("load", {}), ("load", {"documents": 1})):
        found = reader.ask(do, address, **choices)["documents"]
        assert found == (documents[:1] if choices else documents)  # slices are kept apart


def test_streaming_reads_only_what_it_needs(reader, server):
    draw = random.Random(0)
    texts = [draw.randbytes(10_000).hex() for _ in range(400)]
    content = table(text=texts, other=texts[::-1], row_group=10)
    server.repositories["someone/large"] = {"train-0.parquet": content, "train-1.parquet": content}
    server.asked.clear()
    server.sent = 0
    assert reader.ask("stream", "hub:someone/large", first=0)["documents"] == []
    assert server.asked == []  # nothing is asked for before the first document
    answer = reader.ask("stream", "hub:someone/large", documents=5)
    assert answer["documents"] == texts[:5]
    assert all("train-0" in path for path in data_asked(server))
    assert server.sent < 0.75 * len(content)  # a block of 5 MB and the ends of the file


def test_what_is_larger_than_memory_is_not_loaded_whole(reader):
    for name in ("wikipedia", "openwebtext"):
        answer = reader.ask("load", name)
        assert answer["error"] == "CorpusError" and "documents=N" in answer["message"]


# What is kept


def test_what_was_loaded_once_needs_no_network_again(reader, server):
    reader.ask("load", "darija")
    reader.ask("load", "wikipedia", documents=4)
    reader.ask("variable", "HF_HUB_OFFLINE", value="1")  # honored at once, in mid-process
    server.asked.clear()
    assert reader.ask("load", "darija")["documents"] == READ_DARIJA
    assert reader.ask("stream", "darija")["documents"] == READ_DARIJA
    assert reader.ask("load", "wikipedia", documents=4)["documents"] == ARTICLES[:4]
    assert server.asked == []


def test_offline_what_is_not_kept_names_every_way_out(reader, server):
    reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    server.asked.clear()
    for do in ("stream", "load"):
        answer = reader.ask(do, "wikipedia", documents=77)
        assert answer["error"] == "CorpusUnavailable" and "\n" not in answer["message"]
        for way_out in ("HF_HUB_OFFLINE", "HF_HOME", ".jsonl", "sample-articles"):
            assert way_out in answer["message"]
        assert answer["seconds"] < 5
    assert server.asked == []


def test_bundled_samples_stand_in_for_the_hub(reader, server):
    reader.ask("variable", "GPTLIB_CORPORA", value="bundled")
    server.asked.clear()
    for name in (*NAMED, "hub:someone/lines?column=body"):
        stand_in = "sample-darija" if name == "darija" else "sample-articles"
        sample = load_corpus(stand_in).documents[:7]
        assert reader.ask("load", name, documents=7)["documents"] == sample
        assert reader.ask("stream", name, documents=7)["documents"] == sample
    assert server.asked == []


@pytest.mark.parametrize("fault", ["", "broken", "stall", "cut"])
def test_a_fallback_goes_on_with_a_sample(fault, reader, server):
    server.fault = fault
    reader.ask("hurry", times=HURRY)
    answer = reader.ask("load", "hub:someone/nothing", fallback="sample-story")
    assert answer["name"] == "sample-story"


# What the hub refuses


REFUSED = {
    "hub:someone/nothing": ("CorpusUnavailable", "doesn't exist on the Hub"),
    "hub:someone/lines?split=validation": ("CorpusUnavailable", "'train', 'test'"),
    "hub:someone/lines?config=none": ("CorpusUnavailable", "Available: ['default']"),
    "hub:someone/lines?column=text": (
        "CorpusError",
        "no column 'text' but id, body: name the one",
    ),
    "hub:someone/lines?column=id": ("CorpusError", "holds 1, not text"),
    "hub:someone/code": ("CorpusUnavailable", "scripts are no longer supported"),
}


@pytest.mark.parametrize("address", REFUSED)
def test_what_the_hub_does_not_hold_is_named(address, reader):
    error, reason = REFUSED[address]
    for do in ("stream", "load"):
        answer = reader.ask(do, address)
        assert answer["error"] == error and reason in answer["message"]
        assert "\n" not in answer["message"]


@pytest.mark.parametrize("token", [None, "hf_another"])
def test_a_gated_corpus_says_how_to_be_let_in(token, reader, server):
    server.repositories["someone/secret"] = {"train.parquet": table(text=["hidden"])}
    server.gated["someone/secret"] = CANARY
    reader.ask("variable", "HF_TOKEN", value=token)
    for do in ("stream", "load"):
        answer = reader.ask(do, "hub:someone/secret")
        assert answer["error"] == "CorpusUnavailable" and "gated" in answer["message"]
        for way_in in ("/datasets/someone/secret", "HF_TOKEN", ".env", "hf auth login"):
            assert way_in in answer["message"]


@pytest.mark.parametrize("place", [".env", "hf/token"])
def test_the_token_of_a_file_or_of_a_login_opens_a_gated_corpus(place, reader, server):
    name = f"someone/locked-by-{Path(place).name.strip('.')}"
    server.repositories[name] = {"train.parquet": table(text=["hidden"])}
    server.gated[name] = CANARY
    reader.ask("variable", "HF_TOKEN", value=None)
    file = reader.folder / place
    file.write_text(f"# mine\nexport HF_TOKEN = '{CANARY}'\n" if place == ".env" else CANARY)
    try:
        for do in ("stream", "load"):
            assert reader.ask(do, f"hub:{name}")["documents"] == ["hidden"]
    finally:
        file.unlink()


# What a network does


FAULTS = [
    *("cut", "short", "html", "disguised_html", "busy", "busy_for_long", "broken"),
    *("stall", "stall_in_the_middle"),
]


SAID = {"busy": "HTTP 429", "busy_for_long": "asks us to wait: 300", "broken": "500"}


@pytest.mark.parametrize("where", ["", ".parquet"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_network_is_named_in_time_and_leaves_nothing(fault, where, reader, server):
    name = f"someone/{fault}{where.replace('.', '-')}"
    server.repositories[name] = {"data/train.parquet": table(text=["a" * 50, "b" * 50])}
    server.fault, server.where = fault, where
    before = reader.files()
    reader.ask("hurry", times=HURRY)
    for do, choices in (("stream", {}), ("load", {}), ("load", {"documents": 1})):
        server.asked.clear()
        answer = reader.ask(do, f"hub:{name}", **choices)
        silences = [silence_of(method, path) for method, path, _ in server.asked if where in path]
        stalled = sum(silences) if "stall" in fault else 0.0
        assert max(Counter(server.asked).values()) <= TRIES
        assert answer.get("error") == "CorpusUnavailable", (do, answer)
        assert answer["seconds"] + stalled < 30, (do, answer)
        assert SAID.get(fault, "") in answer["message"]
        assert "\n" not in answer["message"]
    after = reader.files()
    assert {path: after.get(path) for path in before} == before
    new = [path for path in after if path not in before]
    assert not [path for path in new if path.endswith((".jsonl", ".arrow"))]
    assert not [path for path in new if path.startswith("data/")]
    server.fault = ""
    reader.ask("hurry", times=1)
    assert reader.ask("load", f"hub:{name}")["documents"] == ["a" * 50, "b" * 50]


@pytest.mark.parametrize("fault", ["cut", "html", "stall"])
def test_a_stored_copy_outlives_a_newer_one_that_does_not_come(fault, reader, server):
    name = f"someone/renewed-{fault}"
    server.repositories[name] = {"train.parquet": table(text=["old"])}
    assert reader.ask("load", f"hub:{name}")["documents"] == ["old"]
    before = reader.files()
    server.repositories[name] = {"train.parquet": table(text=["new", "newer"])}
    server.fault, server.where = fault, ".parquet"
    reader.ask("hurry", times=HURRY)
    assert reader.ask("load", f"hub:{name}")["error"] == "CorpusUnavailable"
    after = reader.files()
    assert {path: after.get(path) for path in before} == before
    server.where = ""  # now nothing at all comes: the stored copy serves
    assert reader.ask("load", f"hub:{name}")["documents"] == ["old"]


def test_a_gated_corpus_is_prepared_with_the_token_and_named_without(reader, server):
    options = ["--clean", "text", "--drop-shared"]
    assert reader.ask("prepare", "tiny-textbooks", out="lessons", options=options)["exit_code"] == 0
    report = json.loads((reader.folder / "lessons" / "report.json").read_text())
    assert report["source"]["name"].startswith("tiny-textbooks: nampdn-ai/tiny-textbooks on")
    assert "Apache-2.0" in report["source"]["name"] and report["cleaning"]["documents_out"] == 1
    reader.ask("variable", "HF_TOKEN", value=f"{CANARY}Wrong")
    server.fault, server.where = "cut", ".parquet"
    for name in ("tiny-textbooks", "openwebtext"):
        assert reader.ask("prepare", name, out="broken", options=options)["exit_code"] == 2
    assert "error: tiny-textbooks" in (reader.folder / "words.txt").read_text()
    assert not (reader.folder / "broken").exists() and not (reader.folder / ".broken.part").exists()


def test_the_token_stands_in_no_file_no_log_and_no_error(reader, server):
    """Runs after the others: what they have left is searched."""
    server.fault, server.where = "broken", ""
    answer = reader.ask("load", "hub:someone/never")
    assert answer["error"] == "CorpusUnavailable" and f"Bearer {CANARY}" in server.tokens
    words = (reader.folder / "words.txt").read_text()
    assert "Traceback" in words and CANARY not in words + json.dumps(answer)
    found = [path for path, content in reader.files().items() if CANARY.encode() in content]
    assert reader.files() and found == []


# Addresses


@given(
    st.dictionaries(
        st.sampled_from(["config", "split", "column"]), st.text(min_size=1).filter(str.strip)
    )
)
def test_an_address_gives_back_what_was_written_into_it(chosen):
    address = f"hub:owner/na.me-1?{urlencode(chosen)}"
    assert parse_address(address) == {"repository": "owner/na.me-1", **chosen}
    assert re.fullmatch(r"[\w.-]+", find_corpus(address).name)


@pytest.mark.parametrize(
    "address",
    [
        *("hub:", "hub:name", "hub:a/b/c", "hub:../../etc", "hub:a/b?split"),
        *("hub:a/b?split=", "hub:a/b?revision=x", "hub:a/b?split=x&split=y", "hub:a /b"),
    ],
)
def test_what_is_no_address_is_refused_before_any_request(address):
    for read in (load_corpus, stream_corpus):
        with pytest.raises(CorpusError, match="write hub:owner/name"):
            read(address)


def test_a_language_or_a_number_that_means_nothing_is_refused():
    for name, language in (("darija", "fr"), ("wikipedia", "../x"), ("sample-story", "en")):
        with pytest.raises(CorpusError, match="only wikipedia takes one"):
            stream_corpus(name, language=language)
    with pytest.raises(CorpusError, match="documents is 0"):
        load_corpus("sample-story", documents=0)
