"""Special tokens of other names: what ends, begins and pads a text comes in and goes out."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers_twin import twins

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError, TokenizerError
from gptlib.generation import generate_text
from gptlib.pretrained.export import export_model
from gptlib.pretrained.tokenizer_files import read_tokenizer, write_tokenizer
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import BPETokenizer, load_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
PROMPT = "wesh rak"
FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "config.json",
    "generation_config.json",
)


@pytest.fixture
def folder(tmp_path):
    """A model that ends each text at once, as transformers saves it, its roles in every file."""
    ours = BPETokenizer.from_merges(BPETokenizer.train(PROMPT * 9, 260).merges, [*TOKENS.values()])
    config = GPTConfig(ours.vocab_size, context_length=96, n_layers=2, n_heads=2, width=16)
    _, model = twins(config, 0.3, torch.float64)
    ids = {f"{role}_id": ours.special_tokens[token] for role, token in TOKENS.items()}
    del ids["unk_token_id"]
    with torch.no_grad():
        model.transformer.ln_f.bias += 99 * model.transformer.wte.weight[ids["eos_token_id"]]
    for name, token_id in ids.items():
        setattr(model.config, name, token_id)
        setattr(model.generation_config, name, token_id)
    model.save_pretrained(tmp_path / "theirs")
    write_tokenizer(tmp_path / "made", ours, 96)
    words = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "made" / "tokenizer.json"))
    words.add_special_tokens(TOKENS)
    words.save_pretrained(tmp_path / "theirs")
    change(tmp_path / "theirs" / "special_tokens_map.json", **TOKENS)
    return tmp_path / "theirs"


def change(path, **values):
    """Set fields of a JSON file, which need not be there; None takes one out."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    content = {name: value for name, value in {**content, **values}.items() if value is not None}
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("file", FILES)
def test_a_text_ends_where_any_of_the_files_says(file, folder):
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    words = AutoTokenizer.from_pretrained(folder)
    prompt = words(PROMPT, return_tensors="pt")
    assert theirs.generate(**prompt, do_sample=False)[0, -1] == words.eos_token_id
    for other in set(FILES) - {file}:
        change(folder / other, **dict.fromkeys([*TOKENS, *(f"{role}_id" for role in TOKENS)]))
    model, tokenizer = import_model(folder, torch.float64)
    assert tokenizer.end_of_text == words.eos_token_id
    assert generate_text(model, tokenizer, PROMPT, temperature=0) == [PROMPT]


def test_every_role_goes_out_again_and_is_kept_in_a_run(folder, tmp_path):
    model, tokenizer = import_model(folder, torch.float64)
    export_model(tmp_path / "out", model, tokenizer)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert {role: getattr(words, role) for role in TOKENS} == TOKENS == tokenizer.roles
    there = json.loads((folder / "config.json").read_text())
    for file in ("config.json", "generation_config.json"):
        content = json.loads((tmp_path / "out" / file).read_text())
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            assert content[name] == there[name] != None  # noqa: E711, one chain
    tokenizer.save(tmp_path / "run")
    again = load_tokenizer(tmp_path / "run")
    assert again.roles == TOKENS and again.end_of_text == tokenizer.end_of_text
    (tmp_path / "run" / "special_tokens_map.json").write_text("[]")
    with pytest.raises(TokenizerError, match=r"special_tokens_map\.json holds no JSON dict"):
        load_tokenizer(tmp_path / "run")


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("tokenizer_config.json", {"eos_token": "<end>"}, "the eos_token '<end>' is no special"),
        ("tokenizer_config.json", {"pad_token": {"content": "e"}}, "the pad_token 'e' is no"),
        ("special_tokens_map.json", {"bos_token": ["<s>"]}, r"the bos_token \['<s>'\] is no"),
        ("config.json", {"eos_token_id": 257}, "ends a text at token 257, its tokenizer at "),
        ("generation_config.json", {"eos_token_id": [0, 1]}, "ends a text at token 0, its token"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(file, values, message, folder):
    change(folder / file, **values)
    with pytest.raises(PretrainedError, match=message) as refusal:
        import_model(folder)
    assert file in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_id_that_no_token_has_ends_nothing(folder):
    """GPT2Config says 50,256 where nobody has set it."""
    change(folder / "config.json", eos_token_id=50_256, bos_token_id=50_256)
    tokenizer = read_tokenizer(folder)
    assert tokenizer.end_of_text == tokenizer.special_tokens["</s>"]
