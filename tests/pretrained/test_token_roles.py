"""What ends, begins and pads a text comes in from any file, and goes out again."""

import json

import pytest
import torch
from hf_folders import ROLES, SMALL, foreign, set_fields
from transformers import AutoTokenizer
from transformers_twin import opened, twins

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.generation import generate_text
from gptlib.pretrained.export import export_model
from gptlib.pretrained.tokenizer_files import read_tokenizer
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import load_tokenizer

PROMPT = "wesh rak"
ROLE_FILES = ["tokenizer_config.json", "special_tokens_map.json"]
ROLE_FILES += ["config.json", "generation_config.json"]
ROLE_IDS = [f"{role}_id" for role in ROLES]


@pytest.fixture
def ending(tmp_path):
    """A foreign model that ends each text at once, as transformers saves it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    foreign(folder)
    words = AutoTokenizer.from_pretrained(folder)
    shape = GPTConfig.from_dict({**SMALL.to_dict(), "vocab_size": len(words)})
    _, model = twins(shape, 0.3, torch.float64)
    with torch.no_grad():
        model.transformer.ln_f.bias += 99 * model.transformer.wte.weight[words.eos_token_id]
    for name in (role for role in ROLE_IDS if role != "unk_token_id"):
        setattr(model.config, name, getattr(words, name))
        setattr(model.generation_config, name, getattr(words, name))
    model.save_pretrained(folder)
    set_fields("special_tokens_map.json", **ROLES)(folder)
    return folder


@pytest.mark.parametrize("file", ROLE_FILES)
def test_a_text_ends_where_any_of_the_files_says(file, ending):
    theirs, words = opened(ending), AutoTokenizer.from_pretrained(ending)
    prompt = words(PROMPT, return_tensors="pt")
    assert theirs.generate(**prompt, do_sample=False)[0, -1] == words.eos_token_id
    for other in set(ROLE_FILES) - {file}:
        set_fields(other, **dict.fromkeys([*ROLES, *ROLE_IDS]))(ending)
    model, tokenizer = import_model(ending, torch.float64)
    assert tokenizer.end_of_text == words.eos_token_id
    assert generate_text(model, tokenizer, PROMPT, temperature=0) == [PROMPT]


def test_every_role_goes_out_again_and_a_run_keeps_it(ending, tmp_path):
    model, tokenizer = import_model(ending, torch.float64)
    export_model(tmp_path / "out", model, tokenizer)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert {role: getattr(words, role) for role in ROLES} == ROLES
    there = json.loads((ending / "config.json").read_text())
    for file in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "out" / file).read_text())
        assert all(content[name] == there[name] is not None for name in ROLE_IDS[:3])
    assert tokenizer.roles == ROLES
    tokenizer.save(tmp_path / "run")
    again = load_tokenizer(tmp_path / "run")
    assert again.roles == ROLES and again.end_of_text == tokenizer.end_of_text


@pytest.mark.parametrize(
    ("file", "ids", "message"),
    [
        ("config.json", 257, "ends a text at token 257, its tokenizer at "),
        ("generation_config.json", [0, 1], "ends a text at token 0, its tokenizer at"),
        ("config.json", 50_256, ""),  # what GPT2Config says where nobody has set it
    ],
)
def test_only_one_token_ends_a_text(file, ids, message, ending):
    set_fields(file, eos_token_id=ids)(ending)
    if message:
        with pytest.raises(PretrainedError, match=message):
            import_model(ending)
    else:
        tokenizer = read_tokenizer(ending)
        assert tokenizer is not None
        assert tokenizer.end_of_text == tokenizer.special_tokens["</s>"]
