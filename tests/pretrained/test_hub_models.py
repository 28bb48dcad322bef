"""Models from and to a small hub on the loopback: kept, resumed, whole, or refused in words."""

import shutil

import hub_server
import pytest
import torch
from hf_folders import drawn
from hub_reader import CANARY, Reader
from safetensors.torch import save

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.model import GPT
from gptlib.pretrained.export import export_model, push_to_hub
from gptlib.pretrained.weights import RELEASES, hf_name, import_model, transpose_conv1d

GPT2 = "openai-community/gpt2"
NAME = "someone/small-model-401"  # a number in an address is no status
MODEL = GPT(GPTConfig(61, 16, n_layers=1, n_heads=2, width=8), seed=0)
SUM = pytest.approx(float(MODEL.token_embedding.weight.detach().sum()))


def weights():
    """A file as the hub's own: their names without a prefix, their layout."""
    tensors = {}
    for name, parameter in MODEL.state_dict().items():
        tensors[hf_name(name)] = transpose_conv1d(hf_name(name), parameter).contiguous()
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
    return save(tensors)


@pytest.fixture(scope="module")
def server():
    with hub_server.running({GPT2: {"model.safetensors": weights()}}) as running:
        yield running


@pytest.fixture(scope="module")
def child(server, tmp_path_factory):
    child = Reader(tmp_path_factory.mktemp("hub") / "reader", server.url)
    child.ask("hurry", times=16)
    yield child
    child.close()


@pytest.fixture
def reader(child, server):
    """The child, logged in, with an empty cache, a line without fault and nothing sent yet."""
    child.ask("variable", "HF_TOKEN", value=CANARY)
    server.uploads.writer, server.uploads.owner = CANARY, "someone"
    server.asked.clear()
    yield child
    server.fault = server.where = ""
    for known in (server.gated, server.uploads.private, server.uploads.store):
        known.clear()
    server.repositories.pop(NAME, None)
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        child.ask("variable", name, value=None)
    shutil.rmtree(child.folder / "hf" / "hub", ignore_errors=True)


# --- OpenAI's weights ------------------------------------------------------------------------


def test_weights_come_once_and_serve_without_a_network(reader, server):
    revision = server.commit(GPT2)
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM
    asked = {path for _, path, _ in server.asked if "/resolve/" in path}
    assert asked == {f"/{GPT2}/resolve/{revision}/model.safetensors"}
    server.asked.clear()
    reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM
    assert server.asked == []


def test_a_broken_connection_goes_on_where_it_stopped(reader, server):
    server.fault, server.where = "cut_first", "model.safetensors"
    assert reader.ask("weigh", "gpt2", revision=server.commit(GPT2))["sum"] == SUM
    starts = [wanted for method, _, wanted in server.asked if method == "GET"]
    assert starts[0] == "" and starts[1].startswith("bytes=") and starts[1] != "bytes=0-"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cut", "gpt2 (openai-community/gpt2, 548 MB) is not stored here"),
        ("altered", "another file came than the one with sha256"),
        ("gated", "403"),
        ("offline", "HF_HUB_OFFLINE=1 forbids the network"),
    ],
)
def test_what_does_not_come_whole_is_named_with_each_way_out_and_not_kept(
    fault, words, reader, server
):
    revision = server.commit(GPT2)
    if fault == "gated":
        server.gated[GPT2] = "hf_another"
    elif fault == "offline":
        reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    else:
        server.fault, server.where = fault, "model.safetensors"
    refusal = reader.ask("weigh", "gpt2", revision=revision)
    assert refusal["error"] == "PretrainedError" and refusal["seconds"] < 30
    message = refusal["message"]
    assert words in message and "\n" not in message and CANARY not in message
    assert "or give a folder with its config.json and model.safetensors" in message
    assert not [path for path in reader.files() if "snapshots" in path]
    assert server.asked == [] or fault != "offline"


def test_every_size_of_the_family_is_pinned_to_a_commit():
    assert list(RELEASES) == ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    for revision, _ in RELEASES.values():
        assert len(revision) == 40 and int(revision, 16)


# --- push ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tokenizer, tmp_path):
    """An exported model with its card."""
    export_model(tmp_path / "out", drawn(dtype=torch.float32), tokenizer)
    (tmp_path / "out" / "README.md").write_text("---\ntags: [gpt2]\n---\n# Small\n")
    (tmp_path / "out" / "loss.png").write_bytes(b"\x89PNG")
    return tmp_path / "out"


def push(reader, folder, *options, **choices):
    """Its exit code and all it says, where the token must never stand."""
    answer = reader.ask("push", folder=str(folder), repository=NAME, options=options, **choices)
    assert "said" in answer, answer
    assert CANARY not in answer["said"] and "Traceback" not in answer["said"]
    return answer["exit_code"], answer["said"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("options", "typed", "exit_code", "words"),
    [
        (["--dry-run"], None, 0, "Nothing was sent (--dry-run)"),
        ([], "n\n", 0, "Nothing was sent"),
        ([], "\n", 0, "Nothing was sent"),
        ([], None, 2, "give --yes, or --dry-run"),  # nobody is there to ask
        (["--yes"], "offline", 2, "HF_HUB_OFFLINE=1 forbids the network"),
        (
            ["--yes"],
            "no token",
            2,
            "no token for the hub: put a token that may write into HF_TOKEN",
        ),
    ],
)
def test_without_a_yes_a_network_and_a_token_nobody_is_asked(
    options, typed, exit_code, words, reader, server, folder
):
    if typed == "offline":
        reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    elif typed == "no token":
        reader.ask("variable", "HF_TOKEN", value=None)
    code, said = push(reader, folder, *options, typed=typed)
    assert code == exit_code and words in said and server.asked == []
    for name, content in contents(folder).items():
        assert f"{len(content):,} B  {name}\n" in said
    assert f"to {server.url}/{NAME}" in said and "made, private" in said


@pytest.mark.parametrize("way", ["typed", "--yes", ".env", "public"])
def test_a_yes_sends_exactly_the_files_as_one_commit(way, reader, server, folder, tmp_path):
    before = contents(folder)
    (folder / "diary.txt").write_text("private")  # what no export writes stays here
    (folder / "optimizer.safetensors").write_text("private")
    (folder / ".git").mkdir()
    env = reader.folder / ".env"
    if way == ".env":
        reader.ask("variable", "HF_TOKEN", value=None)
        env.write_text(f"HF_TOKEN={CANARY}\n")
    options = {"typed": [], "public": ["--yes", "--public"]}.get(way, ["--yes"])
    exit_code, said = push(reader, folder, *options, typed="y\n" if way == "typed" else None)
    env.unlink(missing_ok=True)
    assert exit_code == 0 and f"sent     {server.url}/{NAME}/commit/" in said
    assert server.repositories[NAME] == before
    assert server.uploads.private[NAME] is (way != "public")
    assert server.tokens <= {f"Bearer {CANARY}", ""}  # "" to the store, which has its own rights
    assert len([path for _, path, _ in server.asked if "/commit/" in path]) == 1
    (tmp_path / "there").mkdir()
    for name, content in server.repositories[NAME].items():
        (tmp_path / "there" / name).write_bytes(content)
    assert import_model(tmp_path / "there")[1] is not None
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Better\n")
    reader.ask("variable", "HF_TOKEN", value=CANARY)
    assert push(reader, folder, "--yes")[0] == 0  # a second push replaces
    assert server.repositories[NAME]["README.md"].endswith(b"# Better\n")


@pytest.mark.parametrize(
    ("fault", "where", "words"),
    [
        ("writer", "hf_another", "see that your token may write there, or put"),
        ("owner", "another", "see that your token may write there, or put"),
        ("broken", "/commit/", "connect, or try again"),
        ("broken", "/store/", "connect, or try again"),
        ("busy", "preupload", "connect, or try again"),
        ("stall", "create", "connect, or try again"),
        ("slow", "/commit/", ""),  # a hub that checks what came, longer than a reader's silence
    ],
)
def test_what_the_hub_refuses_or_a_broken_line_ends_in_time_and_shows_no_half(
    fault, where, words, reader, server, folder
):
    if fault in ("writer", "owner"):
        setattr(server.uploads, fault, where)
    else:
        server.fault, server.where = fault, where
    exit_code, said = push(reader, folder, "--yes")
    if not words:
        assert exit_code == 0 and server.repositories[NAME] == contents(folder)
        return
    last = said.splitlines()[-1]
    assert exit_code == 2 and words in last and f"{NAME} did not take the files (" in last
    assert server.repositories.get(NAME, {}) == {}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["gone", "a link"])
def test_half_a_folder_is_not_sent(name, kind, folder, tmp_path):
    (folder / name).rename(tmp_path / name)
    if kind == "a link":
        (folder / name).symlink_to(tmp_path / name)
    for place in (folder, tmp_path / "nowhere"):
        with pytest.raises(PretrainedError, match="give a folder that was exported"):
            push_to_hub(place, NAME, dry_run=True)


@pytest.mark.parametrize("name", ["", "model", "a/b/c", "../b", "a/..", "a b/c", "a/b\n", "/b"])
def test_a_name_that_is_no_repository_is_refused(name, folder):
    with pytest.raises(PretrainedError, match="is no name of a repository: write owner/name"):
        push_to_hub(folder, name, dry_run=True)
