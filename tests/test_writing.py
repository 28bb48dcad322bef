"""``generate`` and ``evaluate`` on a small folder in the layout of OpenAI's weights."""

import io
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from gptlib import cli
from gptlib.cli.generate import read_prompt
from gptlib.commands.models import open_model
from gptlib.config import GPTConfig
from gptlib.errors import CheckpointError, CorpusError
from gptlib.generation import generate_text
from gptlib.model import GPT
from gptlib.pretrained.weights import hf_name, transpose_conv1d
from gptlib.tokenizer import BPETokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "وحد نهار كنت رايح للسوق 🙂🌍 déjà vu, then bread — 🥖 خبز. " * 3
TOKENIZER = BPETokenizer.train(TEXT, 300, special_tokens=["<|endoftext|>"])
END = TOKENIZER.end_of_text
CONFIG = GPTConfig(TOKENIZER.vocab_size, 24, n_layers=2, n_heads=2, width=16, dropout=0.0)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that any tool for GPT-2 would open."""
    folder = tmp_path_factory.mktemp("model")
    model, generator = GPT(CONFIG), torch.Generator().manual_seed(1)
    tensors = {}
    for name, parameter in model.state_dict().items():
        parameter.normal_(std=0.3, generator=generator)
        tensor = transpose_conv1d(hf_name(name), parameter)
        tensors[f"transformer.{hf_name(name)}"] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors")
    shape = {"n_positions": 24, "n_layer": 2, "n_head": 2, "n_embd": 16}
    (folder / "config.json").write_text(json.dumps({"vocab_size": CONFIG.vocab_size, **shape}))
    TOKENIZER.save(folder)
    return folder


@pytest.fixture
def gptlib(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> Command:
    """Run a command with the folder's model; return its exit code, output and errors."""

    def run(command: str, *arguments: object, stdin: str = "") -> tuple[int, str, str]:
        wish = ["gptlib", command, "--model", str(folder), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", wish)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        exit_code = 0
        try:
            cli.main()
        except SystemExit as stop:
            exit_code = int(stop.code or 0)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


# --- generate --------------------------------------------------------------------------------


def test_a_folder_writes_what_its_model_writes_without_a_cache(
    gptlib: Command, folder: Path
) -> None:
    model, tokenizer = open_model(str(folder))
    assert tokenizer.fingerprint == TOKENIZER.fingerprint
    settings = {"temperature": 0.8, "top_k": 20, "seed": 3, "repetition_penalty": 1.2}
    texts = generate_text(model, tokenizer, "وحد", 40, n_sequences=3, **settings)
    options = ["--temperature", 0.8, "--top-k", 20, "--seed", 3, "--repetition-penalty", 1.2]
    options += ["--prompt", "وحد", "--max-new-tokens", 40]
    exit_code, out, err = gptlib("generate", *options, "--num-return-sequences", 3)
    assert exit_code == 0 and out == "\n---\n".join(texts) + "\n"
    assert err.strip().endswith("tokens/s")
    (text,) = generate_text(model, tokenizer, "وحد", 40, **settings)
    _, streamed, err = gptlib("generate", *options, "--stream")
    assert streamed == text + "\n" and re.search(r"40 tokens in \d+\.\d\d s: ", err)


def test_json_tells_every_token_and_how_likely_it_was(gptlib: Command, folder: Path) -> None:
    _, out, _ = gptlib(
        "generate", "--json", "--seed", 1, "--num-return-sequences", 2, stdin="bread 🙂\n"
    )
    told = json.loads(out)
    assert told["prompt"] == "bread 🙂" and "🙂" in out and told["tokens_per_second"] > 0
    model, _ = open_model(str(folder))
    prompt = TOKENIZER.encode("bread 🙂")
    for sequence in told["sequences"]:
        ids, scores = prompt + sequence["tokens"], sequence["log_probabilities"]
        assert TOKENIZER.decode(id for id in ids if id != END) == sequence["text"]
        with torch.no_grad():  # the first few stand within one context
            logits = model(torch.tensor([ids[:24]]))[0]
        for place in range(len(prompt), 24):
            expected = logits[place - 1].log_softmax(dim=-1)[ids[place]]
            assert scores[place - len(prompt)] == pytest.approx(float(expected), abs=1e-4)


def test_each_text_ends_at_its_own_end_of_text(gptlib: Command) -> None:
    options = ["--prompt", "x", "--seed", 1, "--temperature", 5, "--max-new-tokens", 150]
    _, out, _ = gptlib("generate", "--json", *options, "--num-return-sequences", 12)
    assert "<|endoftext|>" not in out
    texts = [sequence["tokens"] for sequence in json.loads(out)["sequences"]]
    assert len({len(tokens) for tokens in texts}) > 1
    for tokens in texts:
        assert END not in tokens[:-1] and (len(tokens) == 150 or tokens[-1] == END)


def test_a_penalty_out_of_range_is_one_line(gptlib: Command) -> None:
    exit_code, out, err = gptlib("generate", "--prompt", "x", "--repetition-penalty", 0)
    assert exit_code == 2 and out == "" and "repetition_penalty is 0.0" in err
    exit_code, out, err = gptlib("generate", "--prompt", "x", "--stream", "--json")
    assert exit_code == 2 and out == "" and "leave out --json and --num-return" in err


def test_a_folder_without_a_tokenizer_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match="holds no tokenizer: it reads no text"):
        open_model(str(tmp_path))


# --- evaluate --------------------------------------------------------------------------------


def nats_by_hand(model: GPT, ids: list[int]) -> float:
    """The whole sum, one pass for each token after the first."""
    total, half = 0.0, CONFIG.context_length // 2
    for place in range(1, len(ids)):
        start = 0
        while place - start > CONFIG.context_length:
            start += half
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:place]]))[0, -1]
        total += float(F.cross_entropy(logits[None], torch.tensor(ids[place : place + 1])))
    return total


@pytest.mark.parametrize("text", ["bread", TEXT])
def test_perplexity_and_bits_per_byte_by_hand(
    text: str, gptlib: Command, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    exit_code, out, _ = gptlib("evaluate", tmp_path / "text.txt", "--json")
    found, ids = json.loads(out), TOKENIZER.encode(text)
    assert exit_code == 0 and END is not None
    nats = nats_by_hand(open_model(str(folder))[0], [END, *ids])
    assert (found["tokens"], found["bytes"]) == (len(ids), len(text.encode()))
    assert found["perplexity"] == pytest.approx(math.exp(nats / len(ids)), rel=1e-4)
    bits = nats / math.log(2) / len(text.encode())
    assert found["bits_per_byte"] == pytest.approx(bits, rel=1e-4)
    _, said, _ = gptlib("evaluate", "-", stdin=text)
    assert f"{found['perplexity']:,.2f} per token, over {len(ids):,} tokens" in said
    assert f"{bits:.3f}, over" in said


def test_texts_that_cannot_be_evaluated_are_one_line(gptlib: Command, tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xff")
    for place, words in ((tmp_path / "broken.txt", "is not UTF-8"), (tmp_path / "gone", "gone")):
        exit_code, out, err = gptlib("evaluate", place)
        assert exit_code == 2 and out == "" and words in err and len(err.splitlines()) == 1
        assert "or - for standard input" in err or place.exists()
    exit_code, _, err = gptlib("evaluate", "-", stdin="")
    assert exit_code == 2 and "the text has 0 tokens: give at least 1" in err
    assert "over 1 token\n" in gptlib("evaluate", "-", stdin="a")[1]


def test_a_file_is_read_as_training_reads_it(gptlib: Command, tmp_path: Path) -> None:
    said = []
    for content in ("bread\nخبز".encode(), b"\xef\xbb\xbf" + "bread\r\nخبز".encode()):
        (tmp_path / "text.txt").write_bytes(content)
        said.append(gptlib("evaluate", tmp_path / "text.txt", "--json"))
    assert said[0] == said[1] and json.loads(said[0][1])["bytes"] == len("bread\nخبز".encode())


# --- standard input --------------------------------------------------------------------------

ENCODINGS = [("utf-8", "strict"), ("cp1252", "strict"), ("ascii", "surrogateescape")]


def piped(content: bytes, monkeypatch: pytest.MonkeyPatch, encoding: str, errors: str) -> None:
    """Standard input as a machine with this encoding opens it."""
    pipe = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, errors=errors)
    monkeypatch.setattr(sys, "stdin", pipe)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(("encoding", "errors"), ENCODINGS)
def test_standard_input_is_utf8_whatever_the_machine_takes_it_for(
    encoding: str, errors: str, mark: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    piped(mark + "وحد 🙂\r\né\n".encode(), monkeypatch, encoding, errors)
    assert read_prompt(None) == "وحد 🙂\né"


@pytest.mark.parametrize(("encoding", "errors"), ENCODINGS)
def test_other_bytes_are_named(encoding: str, errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    piped("déjà vu".encode("cp1252"), monkeypatch, encoding, errors)
    with pytest.raises(CorpusError, match=r"standard input is not UTF-8 text \(byte 0xe9\)"):
        read_prompt(None)
