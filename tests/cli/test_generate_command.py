"""``generate`` and ``evaluate`` on a small folder in the layout of OpenAI's weights."""

import io
import json
import re
import shutil
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gptlib.commands.generate import read_prompt
from gptlib.commands.inputs import open_model
from gptlib.config import GPTConfig
from gptlib.data.split import split_of
from gptlib.errors import CheckpointError, CorpusError
from gptlib.generation import generate_text
from gptlib.model import GPT
from gptlib.pretrained.weights import hf_name, transpose_conv1d
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer
from gptlib.training.evaluation import evaluate_text

CONTEXT = 24
# characters of two, three and four bytes, so that one token is often a part of a character
TEXT = "وحد نهار كنت رايح للسوق 🙂🌍 déjà vu, then bread — 🥖 خبز. " * 3


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(TEXT, 300, special_tokens=[END_OF_TEXT])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """A model that any tool for GPT-2 would open; its choices depend on all that it reads."""
    folder, V = tmp_path_factory.mktemp("model"), tokenizer.vocab_size
    shape = {"vocab_size": V, "context_length": CONTEXT, "n_layers": 2, "n_heads": 2, "width": 16}
    model, generator = GPT(GPTConfig(**shape)), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
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
def gptlib(typed, folder):
    """Run a command with the folder's model; return its exit code, output and errors."""
    return lambda command, *words, **said: typed(command, "--model", folder, *words, **said)


def test_a_folder_writes_what_its_model_writes_without_a_cache(gptlib, folder):
    model, tokenizer, _ = open_model(str(folder))
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
    told, (model, *_) = json.loads(out), open_model(str(folder))
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
        (["--repetition-penalty", 1e-300], "repetition_penalty is 1e-300"),
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


@pytest.mark.parametrize("part", [slice(-14, -9), slice(None)])
def test_the_figures_are_those_of_the_one_function_that_defines_them(
    part, gptlib, folder, tokenizer, tmp_path
):
    text = TEXT[part]
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    code, out, err = gptlib("evaluate", tmp_path / "text.txt", "--json")
    found, meant = json.loads(out), evaluate_text(open_model(str(folder))[0], tokenizer, [text])
    assert code == 0 and err == f"the weights in {folder}\n"
    assert (found["tokens"], found["bytes"]) == (meant.n_tokens, len(text.encode()))
    assert found["perplexity"] == pytest.approx(meant.perplexity, rel=1e-6)
    assert found["bits_per_byte"] == pytest.approx(meant.bits_per_byte, rel=1e-6)
    _, said, _ = gptlib("evaluate", "-", stdin=text)
    assert f"{meant.perplexity:,.2f} per token, over {meant.n_tokens:,} tokens" in said
    assert f"{meant.bits_per_byte:.3f}, over" in said


def test_every_text_that_train_takes_can_be_evaluated(gptlib, typed, folder, tmp_path):
    text = "\n\n".join(["to be or not to be", "that is the question"] * 20)
    (tmp_path / "texts.txt").write_text(text)
    rows = [json.dumps({"text": part}) for part in text.split("\n\n")]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    parted = gptlib("evaluate", tmp_path / "texts.txt", "--separator", "\\n\\n")
    assert parted[0] == 0 and gptlib("evaluate", tmp_path / "texts.jsonl") == parted
    assert gptlib("evaluate", "-", "--separator", "\\n\\n", stdin=text) == parted
    assert typed("evaluate", folder, tmp_path / "texts.jsonl") == parted
    assert gptlib("evaluate", "sample-darija", "--documents", 2)[0] == 0


def test_of_a_prepared_folder_the_validation_split_is_evaluated(gptlib, tmp_path, typed):
    texts = [f"to be or not to be {n}" for n in range(99)]
    (tmp_path / "texts.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in texts))
    prepared = tmp_path / "prepared"
    out = ["--vocab-size", "280", "--out", prepared]
    assert typed("prepare", tmp_path / "texts.jsonl", *out)[0] == 0
    held_out = [text for text in texts if split_of(text) == "validation"]
    (tmp_path / "held.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in held_out))
    code, out, _ = gptlib("evaluate", prepared, "--json")
    assert code == 0 and json.loads(out)["bytes"] == len("".join(held_out).encode())
    assert out == gptlib("evaluate", tmp_path / "held.jsonl", "--json")[1]
    code, _, err = gptlib("evaluate", prepared, "--documents", "1")
    assert code == 2 and "is a prepared folder, read whole: leave --documents out" in err


def test_a_file_is_read_as_training_reads_it(gptlib, tmp_path):
    said = []
    for content in ("bread\nخبز".encode(), b"\xef\xbb\xbf" + "bread\r\nخبز".encode()):
        (tmp_path / "text.txt").write_bytes(content)
        said.append(gptlib("evaluate", tmp_path / "text.txt", "--json"))
    assert said[0] == said[1] and json.loads(said[0][1])["bytes"] == len("bread\nخبز".encode())


# --- which checkpoint --------------------------------------------------------------------------


@contextmanager
def _into(folder):
    """In place of a new folder, one that may be there."""
    folder.mkdir(exist_ok=True)
    yield folder


def described(typed, run, *options):
    """What generate, evaluate and export say of the weights that they took: all the same."""
    generate = ["generate", "--model", run, "--prompt", "The", "--max-new-tokens", 1]
    said = [typed(*generate, *options)[2].splitlines()[0]]
    said.append(typed("evaluate", run, "sample-story", *options)[2].splitlines()[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptlib.commands.runs.check_absent", lambda _: None)
        patch.setattr("gptlib.commands.runs.new_folder", _into)
        code, out, err = typed("export", run, run / "out", *options)
    assert code == 0, err
    said.append(out.splitlines()[0].removeprefix("exported ").rsplit(":", 1)[0])
    assert len(set(said)) == 1, said
    return said[0]


def test_the_checkpoint_that_is_taken_is_chosen_and_said(typed, story, tmp_path):
    run = Path(shutil.copytree(story[0], tmp_path / "story"))
    hint = "; validation was best at step 2 (5.26): --checkpoint best"
    assert described(typed, run) == f"{run}, step 8, the last of 3 kept{hint}"
    assert described(typed, run, "--checkpoint", "last") == described(typed, run)
    assert described(typed, run, "--checkpoint", "best") == f"{run}, step 2"
    assert described(typed, run, "--checkpoint", "6") == f"{run}, step 6{hint}"
    between = typed("evaluate", run, "--checkpoint", "best", "sample-story")
    assert between == typed("evaluate", run, "sample-story", "--checkpoint", "best")
    with open(run / "metrics.jsonl", "a") as log:
        log.write("damaged\n\n")
    assert typed("generate", "--model", run, "--prompt", "The")[2].startswith(f"{run}, step 8")
    one = run / "checkpoints" / "step-00000006"
    one = typed("generate", "--model", one, "--prompt", "The", "--checkpoint", "best")
    assert one[0] == 2 and "is one checkpoint, or holds none: leave --checkpoint out" in one[2]


def test_the_best_checkpoint_writes_what_its_folder_writes(typed, story):
    options = ["--prompt", "The", "--seed", 1]
    best = typed("generate", "--model", story[0], "--checkpoint", "best", *options)[1]
    folder = story[0] / "checkpoints" / "step-00000002"
    assert best == typed("generate", "--model", folder, *options)[1]
    assert best != typed("generate", "--model", story[0], *options)[1]


@pytest.mark.parametrize("which", ["7", "-1", "newest", "0x6"])
def test_a_checkpoint_that_is_not_kept_is_named_with_those_that_are(typed, story, which):
    words = ["generate", "--model", story[0], "--prompt", "The", f"--checkpoint={which}"]
    code, out, err = typed(*words)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert f"keeps the checkpoints of steps 2, 6, 8, none is '{which}'" in err


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before_which_is_said(
    typed, story, tmp_path
):
    run = Path(shutil.copytree(story[0], tmp_path / "story"))
    file = run / "checkpoints" / "step-00000008" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    options = ["--prompt", "The", "--max-new-tokens", 1]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        code, _, err = typed("generate", "--model", run, *options)
    assert code == 0 and f"{run}, step 6, the last of 3 kept" in err
    assert any("trying the one before" in str(warning.message) for warning in told)
    shutil.rmtree(run / "checkpoints" / "step-00000002")
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    with pytest.warns(UserWarning, match="damaged"):
        code, _, err = typed("generate", "--model", run, *options)
    assert code == 2 and "all 1 checkpoints are damaged" in err and "Traceback" not in err


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
