"""An exported folder goes to a small hub on the loopback: after asking, whole, or not at all."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import pytest
from hub_server import Hub
from test_hub import CANARY, Reader

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.model import GPT
from gptlib.pretrained.export import export_model, push_to_hub
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer

TEXT = "the theme then the hem, and then the theme again; وحد نهار wesh rak " * 4
NAME = "someone/small-model-401"  # a number in an address is no status


def exported(folder: Path, card: str = "---\ntags: [gpt2]\n---\n# Small\n") -> Path:
    tokenizer = BPETokenizer.train(TEXT, 270, [END_OF_TEXT], fast=True)
    assert isinstance(tokenizer, BPETokenizer)
    model = GPT(GPTConfig(tokenizer.vocab_size, 16, n_layers=1, n_heads=2, width=8), seed=0)
    export_model(folder, model, tokenizer)
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "loss.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub_server.running({}) as running:
        yield running


@pytest.fixture(scope="module")
def child(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    child = Reader(tmp_path_factory.mktemp("hub") / "reader", server.url)
    child.ask("hurry", times=16)
    yield child
    child.close()


@pytest.fixture
def sender(child: Reader, server: Hub) -> Iterator[Reader]:
    """The child, logged in, on a line without fault, with nothing there yet."""
    child.ask("variable", "HF_TOKEN", value=CANARY)
    server.uploads.writer, server.uploads.owner = CANARY, "someone"
    server.asked.clear()
    yield child
    server.fault = server.where = ""
    for known in (server.repositories, server.uploads.private, server.uploads.store):
        known.clear()
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        child.ask("variable", name, value=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return exported(tmp_path / "out")


def push(sender: Reader, folder: Path, *options: str, **choices: Any) -> tuple[int, str]:
    """Its exit code and all it says, where the token must never stand."""
    answer = sender.ask("push", folder=str(folder), repository=NAME, options=options, **choices)
    assert "said" in answer, answer
    assert CANARY not in answer["said"] and "Traceback" not in answer["said"]
    return answer["exit_code"], answer["said"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_dry_run_shows_every_file_and_asks_nobody(
    sender: Reader, server: Hub, folder: Path
) -> None:
    sender.ask("variable", "HF_TOKEN", value=None)
    exit_code, said = push(sender, folder, "--dry-run")
    assert exit_code == 0 and "Nothing was sent" in said
    for name, content in contents(folder).items():
        assert f"{len(content):,} B  {name}\n" in said
    assert f"to {server.url}/{NAME}" in said and "made, private" in said
    assert server.asked == [] and server.repositories == {}


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_it_asks_first_and_a_no_sends_nothing(
    typed: str, sender: Reader, server: Hub, folder: Path
) -> None:
    exit_code, said = push(sender, folder, typed=typed)
    assert exit_code == 0 and "Send? [y/N]" in said and "Nothing was sent" in said
    assert server.asked == []


@pytest.mark.parametrize("way", ["typed", "--yes"])
def test_a_yes_sends_exactly_the_files_as_one_commit(
    way: str, sender: Reader, server: Hub, folder: Path, tmp_path: Path
) -> None:
    before = contents(folder)
    exit_code, said = (
        push(sender, folder, typed="y\n") if way == "typed" else push(sender, folder, "--yes")
    )
    assert exit_code == 0 and f"sent     {server.url}/{NAME}/commit/" in said
    assert server.repositories[NAME] == before == contents(folder)
    assert server.uploads.private[NAME] is True
    assert server.tokens == {f"Bearer {CANARY}", ""}  # "" to the store, which has its own rights
    assert len([path for _, path, _ in server.asked if "/commit/" in path]) == 1
    (tmp_path / "there").mkdir()
    for name, content in server.repositories[NAME].items():
        (tmp_path / "there" / name).write_bytes(content)
    assert import_model(tmp_path / "there")[1] is not None


def test_public_is_public_and_a_second_push_replaces(
    sender: Reader, server: Hub, folder: Path
) -> None:
    assert push(sender, folder, "--yes", "--public")[0] == 0
    assert server.uploads.private[NAME] is False
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Better\n")
    assert push(sender, folder, "--yes")[0] == 0
    assert server.repositories[NAME] == contents(folder)


def test_without_a_token_each_way_to_give_one_is_named(
    sender: Reader, server: Hub, folder: Path
) -> None:
    sender.ask("variable", "HF_TOKEN", value=None)
    exit_code, said = push(sender, folder, "--yes")
    assert exit_code == 2 and "no token for the hub" in said
    assert all(way in said for way in ("HF_TOKEN", ".env", "hf auth login"))
    assert server.asked == []


def test_a_token_in_a_file_env_is_found(sender: Reader, server: Hub, folder: Path) -> None:
    sender.ask("variable", "HF_TOKEN", value=None)
    env = sender.folder / ".env"
    env.write_text(f"HF_TOKEN={CANARY}\n")
    try:
        assert push(sender, folder, "--yes")[0] == 0
    finally:
        env.unlink()
    assert server.repositories[NAME] == contents(folder)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_write_is_named_and_not_shown(
    status: int, sender: Reader, server: Hub, folder: Path
) -> None:
    if status == 401:
        server.uploads.writer = "hf_another"
    else:
        server.uploads.owner = "another"
    exit_code, said = push(sender, folder, "--yes")
    assert exit_code == 2 and str(status) in said and "see that your token may write" in said
    assert said.splitlines()[-1].startswith(f"error: {server.url}/{NAME} did not take the files")
    assert server.repositories == {}


@pytest.mark.parametrize(
    ("fault", "where"),
    [("broken", "/commit/"), ("broken", "/store/"), ("busy", "preupload"), ("stall", "create")],
)
def test_a_line_that_breaks_ends_in_time_and_shows_no_half(
    fault: str, where: str, sender: Reader, server: Hub, folder: Path
) -> None:
    server.fault, server.where = fault, where
    exit_code, said = push(sender, folder, "--yes")
    assert exit_code == 2 and "did not take the files" in said and "connect, or try again" in said
    assert server.repositories.get(NAME, {}) == {}


def test_a_hub_that_checks_what_came_is_waited_for(
    sender: Reader, server: Hub, folder: Path
) -> None:
    server.fault, server.where = "slow", "/commit/"  # longer than the silence of one who reads
    assert push(sender, folder, "--yes")[0] == 0
    assert server.repositories[NAME] == contents(folder)


def test_offline_nothing_is_tried(sender: Reader, server: Hub, folder: Path) -> None:
    sender.ask("variable", "HF_HUB_OFFLINE", value="1")
    exit_code, said = push(sender, folder, "--yes")
    assert exit_code == 2 and "HF_HUB_OFFLINE=1 forbids the network" in said
    assert server.asked == []


def test_with_nobody_there_to_ask_nothing_is_sent(
    sender: Reader, server: Hub, folder: Path
) -> None:
    exit_code, said = push(sender, folder)
    assert exit_code == 2 and "give --yes, or --dry-run" in said and server.asked == []


# --- what is packed --------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", [".env", "optimizer.safetensors", "diary.txt", ".git", "run"])
def test_a_file_that_no_export_writes_stops_everything(stranger: str, folder: Path) -> None:
    path = folder / stranger
    path.mkdir() if stranger in (".git", "run") else path.write_text("private")
    with pytest.raises(PretrainedError, match=f"{stranger}: only plain files that an export"):
        push_to_hub(folder, NAME, dry_run=True)


def test_a_link_to_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("private")
    (folder / "merges.txt").unlink()
    (folder / "merges.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(PretrainedError, match=r"merges\.txt is not a plain file"):
        push_to_hub(folder, NAME, dry_run=True)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_half_a_folder_is_not_sent(missing: str, folder: Path) -> None:
    (folder / missing).unlink()
    with pytest.raises(PretrainedError, match=f"holds no {missing}: give a folder that was"):
        push_to_hub(folder, NAME, dry_run=True)
    shutil.rmtree(folder)
    with pytest.raises(PretrainedError, match=r"no folder .*: export a run first"):
        push_to_hub(folder, NAME, dry_run=True)


@pytest.mark.parametrize("name", ["", "model", "a/b/c", "../b", "a/..", "a b/c", "a/b\n", "/b"])
def test_a_name_that_is_no_repository_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(PretrainedError, match="is no name of a repository: write owner/name"):
        push_to_hub(folder, name, dry_run=True)
