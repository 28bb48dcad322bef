"""Training over token shards on the disk equals training over the same ids in memory."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from damage import rewrite
from shard_texts import TOKENIZER, prepared_folder

from gptcourse import cli as course
from gptlib import cli
from gptlib.config import GPTConfig, TrainingConfig
from gptlib.data.dataset import TokenDataset
from gptlib.data.prepare import open_prepared
from gptlib.data.shards import INDEX
from gptlib.errors import CheckpointError, PromptError, TokenOutOfRange
from gptlib.model import GPT
from gptlib.training.metrics import read_metrics
from gptlib.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, context_length=8, n_layers=1, n_heads=2, width=8, dropout=0.2
)
CONFIG = TrainingConfig(
    **{"steps": 12, "batch_size": 9, "accumulation": 2, "learning_rate": 1e-2, "warmup_steps": 2},
    **{"evaluate_every": 4, "evaluate_batches": 3, "sample_every": 6, "checkpoint_every": 4},
)
TIMES = ("seconds", "tokens_per_second", "utilization", "peak_memory")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepared_folder(tmp_path_factory.mktemp("data") / "prepared")


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def trainer(data, run_folder=None, config=CONFIG, model=TINY, in_memory=False):
    prepared = open_prepared(data)
    sets = [prepared.dataset(split, 8) for split in ("train", "validation")]
    if in_memory:
        lines = map(prepared.tokens, ("train", "validation"))
        sets = [TokenDataset(line[:], 8) for line in lines]
    return Trainer(GPT(model, seed=1), *sets, config, run_folder, prepared.tokenizer, prepared)


def rows_of(trained):
    """All rows without times, and without what the data is called."""
    return [{k: v for k, v in row.items() if k not in TIMES} for row in trained.run.log.rows[1:]]


def parameters(trained):
    return list(trained.model.state_dict().values())


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("batches", [0, 3])
def test_a_run_is_that_over_tensors_bit_for_bit(folder, batches):
    config = CONFIG.with_changes(evaluate_batches=batches)
    ours, theirs = trainer(folder, None, config), trainer(folder, None, config, in_memory=True)
    assert 12 * 2 * config.batch_size > len(ours.training_data)  # a second epoch begins
    assert type(ours.training_data.ids) is not type(theirs.training_data.ids)
    ours.train()
    theirs.train()
    assert equal(parameters(ours), parameters(theirs))
    assert rows_of(ours) == rows_of(theirs) and len(rows_of(ours)) == 12 + 4 + 3


def test_the_first_line_says_which_folder_it_was(folder):
    trained, prepared = trainer(folder), open_prepared(folder)
    assert trained.run_info["corpus"] == {"name": str(folder), "fingerprint": prepared.fingerprint}


def test_a_run_that_was_cut_short_goes_on_bit_for_bit(folder, tmp_path):
    whole, cut = trainer(folder), trainer(folder, tmp_path / "run")
    whole.train()
    cut.train(until=7)
    resumed = trainer(folder, tmp_path / "run")
    resumed.train(resume=True)
    assert resumed.resumed_step == 7 and equal(parameters(whole), parameters(resumed))
    assert rows_of(resumed) == rows_of(whole)


def test_the_same_data_in_another_place_goes_on(folder, copy, tmp_path):
    trainer(folder, tmp_path / "run").train(until=2)
    again = trainer(copy, tmp_path / "run")
    again.train(until=3, resume=True)
    assert again.resumed_step == 2


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_other_data_is_refused_and_nothing_is_touched(folder, tmp_path):
    other = prepared_folder(tmp_path / "other", [f"{n} other documents" for n in range(200)])
    trainer(folder, tmp_path / "run").train(until=2)
    before = contents(tmp_path / "run")
    for data, in_memory in ((other, False), (folder, True)):
        with pytest.raises(CheckpointError, match="fingerprint of data was"):
            trainer(data, tmp_path / "run", in_memory=in_memory).train(resume=True)
    assert contents(tmp_path / "run") == before


def test_a_vocabulary_larger_than_the_models_is_refused_on_the_cpu(folder):
    small = GPTConfig.from_dict({**TINY.to_dict(), "vocab_size": 299})
    with pytest.raises(TokenOutOfRange, match="of 300 is larger than the model's of 299"):
        trainer(folder, model=small)
    trainer(folder, model=GPTConfig.from_dict({**TINY.to_dict(), "vocab_size": 320}))  # spare rows


def test_windows_longer_than_the_models_context_are_refused(folder):
    short = GPTConfig.from_dict({**TINY.to_dict(), "context_length": 4})
    with pytest.raises(PromptError, match="8 tokens but the model's context is 4"):
        trainer(folder, model=short)


# The command


TINY_OPTIONS = "--n-layers 1 --n-heads 2 --width 8 --context-length 8"
QUICK = [*TINY_OPTIONS.split(), "--batch-size", "2", "--steps", "3"]


@pytest.fixture
def gptlib(monkeypatch, capsys):
    def run(*arguments, main=cli.main):
        monkeypatch.setattr(sys, "argv", ["gptlib", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_command_trains_on_a_folder_and_the_run_can_write(gptlib, folder, tmp_path):
    run = tmp_path / "run"
    code, said, err = gptlib("train", "--data", folder, *QUICK, "--out", run)
    assert code == 0, err
    n_windows = len(open_prepared(folder).dataset("train", 8))
    assert f"corpus   {folder}: {n_windows:,} windows" in said
    assert read_metrics(run)[0]["tokenizer"] == "bpe-300"
    code, text, err = gptlib("generate", "--model", run, "--prompt", "the", "--seed", 1)
    assert code == 0 and text.startswith("the"), err


def test_an_epoch_counts_the_windows_of_the_folder(gptlib, folder, tmp_path):
    command = ["train", "--data", folder, *QUICK[:-2], "--epochs", "0.1", "--out", tmp_path / "run"]
    assert gptlib(*command)[0] == 0
    n_windows = len(open_prepared(folder).dataset("train", 8))
    steps = read_metrics(tmp_path / "run")[0]["training"]["steps"]
    assert steps == int(n_windows / 10 / 2)


BOTH = "give either a text or --data FOLDER"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample-story", "--data", "{}"], BOTH),
        (["--data", "{}", "--tokenizer", "gpt2"], BOTH),
        ([], BOTH),
        (["--data", "gone"], "gone is no prepared folder"),
        (["--data", "{}", "--context-length", "999"], "the validation split of"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(gptlib, folder, tmp_path, arguments, words):
    arguments = [argument.format(folder) for argument in arguments]
    code, _, err = gptlib("train", *QUICK, *arguments, "--out", tmp_path / "run")
    assert code == 2 and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_another_number_of_shards_is_other_data(folder, copy, tmp_path):
    """Sealed anew without its last shard: intact, but not what the run began with."""
    trainer(copy, tmp_path / "run").train(until=2)
    (copy / "shards" / "train-00001.npy").unlink()
    rewrite(copy / "shards" / INDEX, lambda values: values["shards"].pop(1))
    with pytest.raises(CheckpointError, match="fingerprint of data was"):
        trainer(copy, tmp_path / "run").train(resume=True)


def test_a_run_over_a_folder_is_recorded(gptlib, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gptcourse.paths.RECORDINGS", tmp_path)
    run = tmp_path / "run"
    assert gptlib("train", "--data", folder, *QUICK, "--out", run)[0] == 0
    code, said, err = gptlib("record", run, "mine", main=course.main)
    assert code == 0 and f"on {folder}, seed" in said, err
    kept = json.loads((tmp_path / "mine.json").read_text())
    assert kept["corpus"]["name"] == str(folder)
