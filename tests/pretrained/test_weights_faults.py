"""Weights that are missing, damaged, unsafe or of another model: each is refused by name."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from hf_folders import INDEX, WEIGHTS, Change, drawn, rewrite, set_fields, split_in_two

from gptlib.errors import PretrainedError
from gptlib.pretrained.export import export_model
from gptlib.pretrained.weights import import_model, load_openai

WTE, C_ATTN = "transformer.wte.weight", "transformer.h.1.attn.c_attn.weight"


def put(name, value, *place):
    return rewrite(lambda tensors: tensors[name].__setitem__(place, value))


def resize(change):
    return lambda folder: (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes()))


def index(places, outside=""):
    """Put an index in the place of the weights, which go elsewhere."""

    def apply(folder):
        (folder / WEIGHTS).rename(folder / outside) if outside else (folder / WEIGHTS).unlink()
        set_fields(INDEX, weight_map=places)(folder)

    return apply


def one_part_gone(folder):
    split_in_two(folder)
    (folder / "model-1.safetensors").unlink()


def no_index(folder):
    split_in_two(folder)
    (folder / INDEX).unlink()


FAULTS: dict[str, tuple[Change, str]] = {
    "wrong shape": (
        rewrite(lambda tensors: tensors.update({C_ATTN: tensors[C_ATTN].T})),
        r"h\.1\.attn\.c_attn\.weight has shape \(48, 16\), not \(16, 48\)",
    ),
    "missing": (
        rewrite(lambda tensors: tensors.pop(C_ATTN)),
        r"lacks tensor h\.1\.attn\.c_attn\.weight:",
    ),
    "two missing": (
        rewrite(lambda tensors: [tensors.pop(C_ATTN), tensors.pop(WTE)]),
        r"lacks tensor h\.1\.attn\.c_attn\.weight and 1 more",
    ),
    "surplus": (
        rewrite(lambda tensors: tensors.update(extra=torch.zeros(2))),
        "holds the unknown tensor extra:",
    ),
    "a layer too many": (
        set_fields("config.json", n_layer=1),
        r"unknown tensor h\.1\.attn\.c_attn\.bias and 11",
    ),
    "one tensor twice": (
        rewrite(lambda tensors: tensors.update({"wte.weight": tensors[WTE] + 1})),
        r"holds transformer\.wte\.weight and wte\.weight, which|holds wte\.weight and transf",
    ),
    "NaN": (put(C_ATTN, float("nan"), 3, 1), rf"model\.safetensors: {C_ATTN} holds NaN or infin"),
    "infinity": (put(WTE, -float("inf"), -1, -1), f"{WTE} holds NaN or infinity"),
    "untied head": (
        rewrite(lambda tensors: tensors.update({"lm_head.weight": tensors[WTE] + 1})),
        r"lm_head\.weight is not the token embedding",
    ),
    "truncated": (resize(lambda content: content[:-100]), r"model\.safetensors is cut short or da"),
    "head cut": (resize(lambda content: content[:50]), r"model\.safetensors is cut short or dama"),
    "pickle in disguise": (
        resize(lambda content: pickle.dumps({"a": [1, 2, 3], "b": "x" * 99})),
        r"model\.safetensors is .* or a pickle, which is never read",
    ),
    "pickle only": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        r"holds no model\.safetensors and no .*, only pytorch_model\.bin: .*a pickle can run code",
    ),
    "nothing": (lambda folder: (folder / WEIGHTS).unlink(), r"no .*index\.json of its parts: save"),
    "no index": (no_index, r"its parts, only model-0\.safetensors, model-1\.safetensors: save"),
    "index outside": (
        index({WTE: "../outside.safetensors"}, "../outside.safetensors"),
        r"lists '\.\./outside\.safetensors', which is no file of that folder",
    ),
    "index absolute": (index({WTE: "/etc/passwd"}), r"lists '/etc/passwd', which is no file"),
    "index ahead": (one_part_gone, r"lists 'model-1\.safetensors', which is no file of that"),
    "index without a map": (index(None), r"index\.json has no weight_map"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"holds no config\.json"),
    "config cut": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json cannot be read",
    ),
    "config a list": (
        lambda folder: (folder / "config.json").write_text("[]"),
        r"config\.json cannot be read",
    ),
    **{
        f"{field} {value}": (
            set_fields("config.json", **{field: value}),
            rf"{field} is .*, {right}",
        )
        for field, value, right in [
            ("model_type", "llama", "GPT-2's is 'gpt2'"),
            ("activation_function", "gelu", "GPT-2's is 'gelu_new'"),
            ("n_inner", 32, "GPT-2's is 64"),
            ("scale_attn_weights", False, "GPT-2's is True"),
            ("scale_attn_by_inverse_layer_idx", True, "GPT-2's is False"),
            ("add_cross_attention", True, "GPT-2's is False"),
            ("tie_word_embeddings", False, "GPT-2's is True"),
        ]
    },
    "heads that do not fit": (
        set_fields("config.json", n_head=3),
        "width 16 does not split into 3",
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "model"
    export_model(folder, drawn(), None)
    return folder


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_by_name(fault, whole, tmp_path):
    folder = Path(shutil.copytree(whole, tmp_path / "model"))
    plant, message = FAULTS[fault]
    plant(folder)
    for read in (load_openai, import_model):
        with pytest.raises(PretrainedError, match=message) as refusal:
            read(folder)
        assert "\n" not in str(refusal.value)


def test_dropouts_that_differ_are_said_to_become_one(saved):
    folder, _ = saved()
    set_fields("config.json", attn_pdrop=0.2, embd_pdrop=0.3)(folder)
    with (
        pytest.warns(UserWarning, match=r"embd_pdrop 0\.3 becomes 0\.1, its resid_pdrop"),
        pytest.warns(UserWarning, match=r"attn_pdrop 0\.2 becomes 0\.1"),
    ):
        assert load_openai(folder).config.dropout == 0.1


def test_what_is_neither_a_name_nor_a_folder_is_named():
    with pytest.raises(PretrainedError, match=r"gpt3 is neither a folder nor a name: give one of"):
        load_openai("gpt3")
