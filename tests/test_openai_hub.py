"""OpenAI's weights from a small hub on the loopback: kept, resumed, and refused in words."""

import shutil
from collections.abc import Iterator

import hub_server
import pytest
import torch
from hub_server import Hub
from safetensors.torch import save
from test_hub import CANARY, Reader

from gptlib.config import GPTConfig
from gptlib.model import GPT
from gptlib.pretrained.weights import RELEASES, hf_name, transpose_conv1d

REPOSITORY = "openai-community/gpt2"
MODEL = GPT(GPTConfig(61, 16, n_layers=1, n_heads=2, width=8), seed=0)
SUM = pytest.approx(float(MODEL.token_embedding.weight.detach().sum()))


def weights() -> bytes:
    """A file as the hub's own: their names without a prefix, their layout."""
    tensors = {}
    for name, parameter in MODEL.state_dict().items():
        tensors[hf_name(name)] = transpose_conv1d(hf_name(name), parameter).contiguous()
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 16, 16).tril()
    return save(tensors)


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub_server.running({REPOSITORY: {"model.safetensors": weights()}}) as running:
        yield running


@pytest.fixture(scope="module")
def child(server: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    child = Reader(tmp_path_factory.mktemp("hub") / "reader", server.url)
    child.ask("hurry", times=8)
    yield child
    child.close()


@pytest.fixture
def reader(child: Reader, server: Hub) -> Iterator[Reader]:
    """The child, with an empty cache and a line without fault."""
    server.asked.clear()
    yield child
    server.fault = server.where = ""
    server.gated.clear()
    child.ask("variable", "HF_HUB_OFFLINE", value=None)
    shutil.rmtree(child.folder / "hf" / "hub", ignore_errors=True)


def test_weights_come_once_and_serve_without_a_network(reader: Reader, server: Hub) -> None:
    revision = server.commit(REPOSITORY)
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM
    asked = {path for _, path, _ in server.asked if "/resolve/" in path}
    assert asked == {f"/{REPOSITORY}/resolve/{revision}/model.safetensors"}
    server.asked.clear()
    reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM
    assert server.asked == []


def test_a_broken_connection_goes_on_where_it_stopped(reader: Reader, server: Hub) -> None:
    revision = server.commit(REPOSITORY)
    server.fault, server.where = "cut_first", "model.safetensors"
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM
    starts = [wanted for method, _, wanted in server.asked if method == "GET"]
    assert starts[0] == "" and starts[1].startswith("bytes=") and starts[1] != "bytes=0-"


def test_a_connection_that_breaks_again_and_again_is_named(reader: Reader, server: Hub) -> None:
    server.fault, server.where = "cut", "model.safetensors"
    refusal = reader.ask("weigh", "gpt2", revision=server.commit(REPOSITORY))
    assert refusal["error"] == "PretrainedError" and refusal["seconds"] < 30
    assert "gpt2 (openai-community/gpt2, 548 MB) is not stored here" in refusal["message"]
    assert not [path for path in reader.files() if "snapshots" in path]


def test_another_file_under_the_right_name_is_refused_and_not_kept(
    reader: Reader, server: Hub
) -> None:
    revision = server.commit(REPOSITORY)
    server.fault, server.where = "altered", "model.safetensors"
    refusal = reader.ask("weigh", "gpt2", revision=revision)
    assert refusal["error"] == "PretrainedError"
    assert "another file came than the one with sha256" in refusal["message"]
    assert not [path for path in reader.files() if "model.safetensors" in path or "blobs" in path]
    server.fault = ""
    assert reader.ask("weigh", "gpt2", revision=revision)["sum"] == SUM


def test_offline_and_closed_doors_are_named_with_each_way_out(reader: Reader, server: Hub) -> None:
    revision = server.commit(REPOSITORY)
    server.gated[REPOSITORY] = CANARY
    closed = reader.ask("weigh", "gpt2", revision=revision)
    assert closed["error"] == "PretrainedError" and "401" in closed["message"]
    reader.ask("variable", "HF_HUB_OFFLINE", value="1")
    server.asked.clear()
    offline = reader.ask("weigh", "gpt2", revision=revision)
    assert "HF_HUB_OFFLINE=1 forbids the network" in offline["message"]
    assert "or give a folder with its config.json and model.safetensors" in offline["message"]
    assert server.asked == [] and offline["seconds"] < 5
    for answer in (closed, offline):
        assert "\n" not in answer["message"] and CANARY not in answer["message"]


def test_every_size_of_the_family_is_pinned_to_a_commit() -> None:
    assert list(RELEASES) == ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    for revision, _ in RELEASES.values():
        assert len(revision) == 40 and int(revision, 16)
