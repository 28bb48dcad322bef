"""``generate`` and ``evaluate`` on a small folder in the layout of OpenAI's weights."""

import io
import json
import re
import sys

import pytest
import torch
from safetensors.torch import save_file

from gptlib import cli
from gptlib.cli.generate import read_prompt
from gptlib.commands.models import open_model
from gptlib.errors import CheckpointError, CorpusError
from gptlib.generation import generate_text
from gptlib.pretrained.weights import hf_name, transpose_conv1d
from gptlib.training import evaluate_text

CONTEXT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_model, tokenizer):
    """A model that any tool for GPT-2 would open."""
    folder, V = tmp_path_factory.mktemp("model"), tokenizer.vocab_size
    model = make_model(std=0.3, dtype=torch.float32, vocab_size=V, context_length=CONTEXT)
    tensors = {}
    for name, parameter in model.state_dict().items():
        tensor = transpose_conv1d(hf_name(name), parameter)
        tensors[f"transformer.{hf_name(name)}"] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors")
    shape = {"n_positions": CONTEXT, "n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": V}
    (folder / "config.json").write_text(json.dumps(shape))
    tokenizer.save(folder)
    return folder


@pytest.fixture
def gptlib(monkeypatch, capsys, folder):
    """Run a command with the folder's model; return its exit code, output and errors."""

    def run(command, *arguments, stdin=""):
        options = ["gptlib", command, "--model", str(folder), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", options)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        exit_code = 0
        try:
            cli.main()
        except SystemExit as stop:
            exit_code = int(stop.code or 0)
        said = capsys.readouterr()
        return exit_code, said.out, said.err

    return run


def test_a_folder_writes_what_its_model_writes_without_a_cache(gptlib, folder):
    model, tokenizer = open_model(str(folder))
    settings = {"temperature": 0.8, "top_k": 20, "seed": 3, "repetition_penalty": 1.2}
    texts = generate_text(model, tokenizer, "وحد", 40, n_sequences=3, **settings)
    options = ["--temperature", 0.8, "--top-k", 20, "--seed", 3, "--repetition-penalty", 1.2]
    options += ["--prompt", "وحد", "--max-new-tokens", 40]
    exit_code, out, err = gptlib("generate", *options, "--num-return-sequences", 3)
    assert exit_code == 0 and out == "\n---\n".join(texts) + "\n" and len(texts) == 3
    assert err.strip().endswith("tokens/s")
    (text,) = generate_text(model, tokenizer, "وحد", 40, **settings)
    _, streamed, err = gptlib("generate", *options, "--stream")
    assert streamed == text + "\n" and re.search(r"40 tokens in \d+\.\d\d s: ", err)


def test_json_tells_every_token_and_how_likely_it_was(gptlib, folder, tokenizer):
    options = ["--json", "--seed", 1, "--num-return-sequences", 2]
    _, out, _ = gptlib("generate", *options, stdin="bread 🙂\n")
    told, (model, _) = json.loads(out), open_model(str(folder))
    assert told["prompt"] == "bread 🙂" and "🙂" in out and told["tokens_per_second"] > 0
    prompt = tokenizer.encode("bread 🙂")
    for sequence in told["sequences"]:
        ids, scores = prompt + sequence["tokens"], sequence["log_probabilities"]
        whole = tokenizer.decode(id for id in ids if id != tokenizer.end_of_text)
        assert whole == sequence["text"]
        with torch.no_grad():  # the first few stand within one context
            logits = model(torch.tensor([ids[:CONTEXT]]))[0]
        for place in range(len(prompt), CONTEXT):
            expected = logits[place - 1].log_softmax(dim=-1)[ids[place]]
            assert scores[place - len(prompt)] == pytest.approx(float(expected), abs=1e-4)


def test_each_text_ends_at_its_own_end_of_text(gptlib, tokenizer):
    options = ["--prompt", "x", "--seed", 1, "--temperature", 5, "--max-new-tokens", 150]
    _, out, _ = gptlib("generate", "--json", *options, "--num-return-sequences", 12)
    assert "<|endoftext|>" not in out
    texts = [sequence["tokens"] for sequence in json.loads(out)["sequences"]]
    assert len({len(tokens) for tokens in texts}) > 1
    for tokens in texts:
        assert tokenizer.end_of_text not in tokens[:-1]
        assert len(tokens) == 150 or tokens[-1] == tokenizer.end_of_text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--repetition-penalty", 0], "repetition_penalty is 0.0"),
        (["--stream", "--json"], "leave out --json and --num-return"),
        (["--num-return-sequences", 3_000_000_000], "3,000,000,000 sequences at a time need"),
    ],
)
def test_what_cannot_be_generated_is_one_line(gptlib, options, words):
    exit_code, out, err = gptlib("generate", "--prompt", "x", *options)
    assert exit_code == 2 and out == "" and words in err and len(err.splitlines()) == 1


def test_a_folder_without_a_tokenizer_says_what_is_missing(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(CheckpointError, match="holds no tokenizer: it reads no text"):
        open_model(str(tmp_path))


# --- evaluate --------------------------------------------------------------------------------


def test_evaluate_gives_the_figures_of_evaluate_text(text, gptlib, folder, tokenizer, tmp_path):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    exit_code, out, _ = gptlib("evaluate", tmp_path / "text.txt", "--json")
    found, loss = json.loads(out), evaluate_text(open_model(str(folder))[0], tokenizer, [text])
    assert exit_code == 0
    assert (found["tokens"], found["bytes"]) == (loss.n_tokens, len(text.encode()))
    assert found["perplexity"] == pytest.approx(loss.perplexity, rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(loss.bits_per_byte, rel=1e-4)
    _, said, _ = gptlib("evaluate", "-", stdin=text)
    assert f"{found['perplexity']:,.2f} per token, over {loss.n_tokens:,} tokens" in said
    assert f"{loss.bits_per_byte:.3f}, over" in said


def test_texts_that_cannot_be_evaluated_are_one_line(gptlib, tmp_path):
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xff")
    for place, words in ((tmp_path / "broken.txt", "is not UTF-8"), (tmp_path / "gone", "gone")):
        exit_code, out, err = gptlib("evaluate", place)
        assert exit_code == 2 and out == "" and words in err and len(err.splitlines()) == 1
        assert "or - for standard input" in err or place.exists()
    exit_code, _, err = gptlib("evaluate", "-", stdin="")
    assert exit_code == 2 and "the text has 0 tokens: give at least 1" in err
    assert "over 1 byte\n" in gptlib("evaluate", "-", stdin="a")[1]


def test_a_file_is_read_as_training_reads_it(gptlib, tmp_path):
    said = []
    for content in ("bread\nخبز".encode(), b"\xef\xbb\xbf" + "bread\r\nخبز".encode()):
        (tmp_path / "text.txt").write_bytes(content)
        said.append(gptlib("evaluate", tmp_path / "text.txt", "--json"))
    assert said[0] == said[1] and json.loads(said[0][1])["bytes"] == len("bread\nخبز".encode())


ENCODINGS = [("utf-8", "strict"), ("cp1252", "strict"), ("ascii", "surrogateescape")]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_standard_input_is_utf8_whatever_the_machine_takes_it_for(encoding, monkeypatch):
    def read(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), *encoding))
        return read_prompt(None)

    for mark in (b"", b"\xef\xbb\xbf"):
        assert read(mark + "وحد 🙂\r\né\n".encode()) == "وحد 🙂\né"
    with pytest.raises(CorpusError, match=r"standard input is not UTF-8 text \(byte 0xe9\)"):
        read("déjà vu".encode("cp1252"))
