"""export as it is typed: a run out, read back, trained further, and every sort of bad input."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from floors import imports
from tokenizer_texts import darija
from transformers import AutoTokenizer
from transformers_twin import opened

import gptlib
from gptlib import environment
from gptlib.commands.runs import export
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.corpora import load_corpus
from gptlib.data.dataset import TokenDataset
from gptlib.model import GPT
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer
from gptlib.training.checkpoint import load_model
from gptlib.training.trainer import Trainer

Command = Callable[..., tuple[int, str, str]]
PROMPT = "وحد نهار"
TEXT = environment.SAMPLES / "sample-story.txt"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on Darija with a vocabulary of its own and a padded table, best before its end."""
    folder = tmp_path_factory.mktemp("runs") / "darija"
    tokenizer = BPETokenizer.train(darija(), 300, [END_OF_TEXT], fast=True)
    config = GPTConfig(300, 32, n_layers=2, n_heads=2, width=16, dropout=0.0, vocab_multiple=128)
    ids = tokenizer.encode(" ".join(darija()))
    training = TrainingConfig(
        steps=12, batch_size=2, learning_rate=0.5, min_learning_rate=0.5, warmup_steps=6,
        evaluate_every=3, evaluate_batches=2, checkpoint_every=3,
    )  # fmt: skip
    parts = TokenDataset(ids[:2000], 32), TokenDataset(ids[2000:2400], 32)
    corpus = load_corpus("sample-darija")
    Trainer(GPT(config, seed=1), *parts, training, folder, tokenizer, corpus).train()
    return folder


@pytest.fixture(scope="module")
def out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, exported; only read from."""
    folder = tmp_path_factory.mktemp("exports") / "out"
    export(run, folder)
    return folder


def test_a_run_leaves_as_a_model_that_transformers_opens(run: Path, out: Path) -> None:
    names = {path.name for path in out.iterdir()}
    assert {"README.md", "loss.png", "model.safetensors", "tokenizer.json"} < names
    model, tokenizer = load_model(run)
    assert isinstance(tokenizer, BPETokenizer)
    theirs, words = opened(out, torch.float32), AutoTokenizer.from_pretrained(out)
    ids = words(PROMPT, return_tensors="pt").input_ids
    assert ids[0].tolist() == tokenizer.encode(PROMPT)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), rtol=1e-4, atol=1e-5)
    assert "# out" in (out / "README.md").read_text(encoding="utf-8")


def test_the_code_of_the_card_runs_within_the_context(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (out / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(out)
    exec(card.split("```python\n")[1].split("```")[0], {})  # as whoever reads the card would
    assert capsys.readouterr().out.startswith("Once")


def test_the_words_say_what_was_left_out_and_which_weights_these_are(
    run: Path, typed: Command, tmp_path: Path
) -> None:
    exit_code, said, err = typed("export", run, tmp_path / "out")
    assert exit_code == 0 and err == ""
    assert f"exported {run}, step 12, the last of 3 kept; validation was best at step" in said
    assert "left out 84 spare rows of the token table" in said
    assert "it leaves the license to you" in said
    step = int(said.split("was best at step ")[1].split()[0])
    assert step != 12
    exit_code, said, _ = typed("export", run, tmp_path / "best", "--checkpoint", "best")
    assert exit_code == 0 and f"{run}, step {step}: " in said and "was best" not in said
    card = (tmp_path / "best" / "README.md").read_text()
    assert f"these are the weights of step {step}." in card and f"| {step} | " in card
    assert "| 12 | – |" not in card  # what came later is not this model's
    assert "| 12 | – |" in (tmp_path / "out" / "README.md").read_text()


def test_an_exported_folder_reads_back_as_the_same_model_and_writes_the_same_text(
    run: Path, out: Path, typed: Command
) -> None:
    (before, tokenizer), (after, its_tokenizer) = load_model(run), import_model(out)
    assert tokenizer and its_tokenizer and its_tokenizer.fingerprint == tokenizer.fingerprint
    assert torch.equal(
        after.lm_head_weight, before.lm_head_weight
    )  # the table without its spare rows
    for name, tensor in before.state_dict().items():
        assert name == "token_embedding.weight" or torch.equal(after.state_dict()[name], tensor)
    for command in (["generate", "--prompt", PROMPT, "--temperature", 0], ["evaluate", TEXT]):
        said = {typed(*command, "--model", model)[:2] for model in (run, out)}
        assert len(said) == 1 and said.pop()[0] == 0


FURTHER = ["train", "sample-darija", "--sample-every", 0, "--evaluate-batches", 2, "--steps", 2]


def test_training_begins_with_the_weights_the_shape_and_the_tokenizer_of_a_folder(
    run: Path, out: Path, typed: Command, tmp_path: Path
) -> None:
    (started, tokenizer), unlearned = import_model(out), ["--learning-rate", 1e-30]
    further = [*FURTHER, *unlearned, "--init-from", out, "--out", tmp_path / "further"]
    exit_code, _, err = typed(*further)
    assert exit_code == 0, err
    model, its_tokenizer = load_model(tmp_path / "further")
    assert model.config == started.config
    assert its_tokenizer and tokenizer and its_tokenizer.fingerprint == tokenizer.fingerprint
    for name, tensor in started.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-6)
    exit_code, out_, _ = typed(*further, "--resume")
    assert exit_code == 0 and "all 2 steps were trained before" in out_
    export(tmp_path / "further", tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert "from the weights of out for 2 steps" in card and str(out.parent) not in card


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--width", 32], "has its own shape: leave --width 32 out"),
        (["--tokenizer", "characters"], "reads tokens of bpe-300, not of characters"),
        (["--out", "there", "--init-from", "damaged"], "cut short or damaged"),
        (["--init-from", "odd"], "odd: no checkpoint"),
        (["--init-from", "gone"], "no run in gone"),
        (["--init-from", "untold"], "knows 300 tokens, the tokenizer gpt2 has 50,257"),
    ],
)
def test_a_folder_that_training_cannot_begin_with_is_named(
    options: list[object], words: str, place: Path, typed: Command
) -> None:
    for name in ("damaged", "untold"):
        shutil.copytree(place / "out", place / name)
    weights = place / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (place / "untold" / name).unlink()
    exit_code, _, err = typed(*FURTHER, "--init-from", "out", "--out", "new", *options)
    assert exit_code == 2 and words in err and len(err.splitlines()) == 1
    assert not (place / "new").exists()


@pytest.fixture
def place(run: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, an export, and things that are neither."""
    shutil.copytree(run, tmp_path / "run")
    shutil.copytree(out, tmp_path / "out")
    (tmp_path / "odd").mkdir()
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.read_bytes() for path in files}


BAD = [
    (["export", "run", "out"], "out exists: give another folder, or remove it yourself"),
    (["export", "run", "run"], "run exists"),
    (["export", "run", "."], ". exists"),
    (["export", "run", "/"], "/ exists"),
    (["export", "run", "file"], "file exists"),
    (["export", "run", "link"], "link exists"),
    (["export", "run", "file/new"], "file is a file: give another folder"),
    (["export", "file", "new"], "no run in file: train one first"),
    (["export", "odd", "new"], "odd: no checkpoint"),
    (["export", "out", "new"], "out: no checkpoint"),
    (["export", "run/checkpoints/step-00000099", "new"], "no run in run/checkpoints"),
    (["export", "run"], "FOLDER"),
    (["push", "out", "model"], "'model' is no name of a repository"),
    (["push", "gone", "a/b"], "gone holds no config.json"),
    (["push", "run", "a/b"], "run holds no config.json"),
]


@pytest.mark.parametrize(("command", "words"), BAD, ids=[" ".join(command) for command, _ in BAD])
def test_bad_input_is_one_line_and_touches_nothing(
    command: list[str], words: str, place: Path, typed: Command
) -> None:
    before = everything(place)
    exit_code, out, err = typed(*command)
    assert exit_code == 2 and words in err and "Traceback" not in err and out == ""
    assert err.startswith("Usage") or len(err.splitlines()) == 1
    assert everything(place) == before and not (place / "new").exists()


def test_no_file_of_the_package_imports_transformers() -> None:
    package = Path(gptlib.__file__).parent
    for path in package.rglob("*.py"):
        assert "transformers" not in {name.split(".")[0] for name in imports(path, package)}


def test_export_works_where_transformers_is_not_installed(run: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['transformers'] = None; from gptlib import cli; cli.main()"
    command = [sys.executable, "-c", code, "export", str(run), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "exported" in done.stdout, done.stderr
