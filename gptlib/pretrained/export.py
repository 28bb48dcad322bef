"""Models as folders that transformers opens, with a model card, and such folders to the hub.

::

    FOLDER/  config.json  generation_config.json  model.safetensors
             tokenizer.json  tokenizer_config.json  vocab.json  merges.txt
             README.md  loss.png        the model card, where it is exported from a run

No code travels: ``AutoModelForCausalLM`` and ``AutoTokenizer`` open it with their own.
"""

import importlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from gptlib import environment
from gptlib.config import GPTConfig, padded_size
from gptlib.data.corpora import CORPORA
from gptlib.data.hub import libraries, one_line
from gptlib.data.prepare import SHARDS
from gptlib.data.shards import read_index
from gptlib.errors import PretrainedError, ShardError
from gptlib.files import new_folder, write_json
from gptlib.model import GPT
from gptlib.pretrained.config_files import CONFIG, GENERATION_CONFIG, hf_config
from gptlib.pretrained.tokenizer_files import token_roles, write_tokenizer
from gptlib.pretrained.weights import PREFIX, WEIGHTS, hf_name, transpose_conv1d
from gptlib.tokenizer import Tokenizer
from gptlib.training.metrics import Row, best_validation, curve
from gptlib.training.run import INTERVALS

CARD, FIGURE = "README.md", "loss.png"
SENT = (  # all that an export writes, and so all that is sent
    *(CONFIG, WEIGHTS, GENERATION_CONFIG, CARD, FIGURE, "tokenizer.json", "tokenizer_config.json"),
    *("vocab.json", "merges.txt", "characters.json", "special_tokens_map.json"),
)
POINTS = 8  # rows of the card's table of losses
LOG_IN = (
    "put a token that may write into HF_TOKEN or a line HF_TOKEN=… of a file .env, "
    "or log in with `hf auth login`"
)


def export_model(folder: str | Path, model: GPT, tokenizer: Tokenizer | None) -> None:
    """Write a model as a folder that transformers opens, all or nothing.

    Spare rows of the token table are left out: no token has them, and their logits are never
    computed here, while transformers would draw from them. A model without biases of its
    queries, keys and values gets zeros, since theirs has such biases: it computes the same.

    Args:
        folder: must not exist.
        model: its parameters are written as they are, in their own precision.
        tokenizer: the one that the model was trained with; None for a model without.

    Raises:
        PretrainedError: model and tokenizer do not belong together.
        FolderError: the folder exists or cannot be written; nothing is left of the attempt.
    """
    with new_folder(Path(folder)) as part:
        write_model(part, model, tokenizer)


def write_model(part: Path, model: GPT, tokenizer: Tokenizer | None) -> None:
    """Write the files of :func:`export_model` into a new folder."""
    known = tokenizer.vocab_size if tokenizer else model.config.vocab_size
    if known != model.config.vocab_size:
        raise PretrainedError(
            f"the model scores {model.config.vocab_size:,} tokens but its tokenizer has {known:,}: "
            f"give the one that it was trained with"
        )
    roles = token_roles(tokenizer) if tokenizer else {}
    ids = {
        f"{role}_id": tokenizer.special_tokens[roles[role]] if tokenizer and role in roles else None
        for role in ("bos_token", "eos_token", "pad_token")
    }
    write_json(part / CONFIG, {**hf_config(model), **ids})
    write_json(part / GENERATION_CONFIG, ids if roles else {})
    if tokenizer:
        write_tokenizer(part, tokenizer, model.config.context_length)
    # without the format's name transformers would not know whose tensors these are
    save_file(hf_tensors(model), part / WEIGHTS, metadata={"format": "pt"})


def hf_tensors(model: GPT) -> dict[str, Tensor]:
    """The parameters under GPT-2's names and in its layout, the tied head once."""
    found = dict(model.state_dict())
    found["token_embedding.weight"] = model.lm_head_weight  # without spare rows
    if not model.config.qkv_bias:
        zeros = model.lm_head_weight.new_zeros(3 * model.config.width)
        for layer in range(model.config.n_layers):
            found[f"blocks.{layer}.attention.qkv.bias"] = zeros.clone()
    return {
        PREFIX + hf_name(ours): transpose_conv1d(hf_name(ours), tensor).contiguous()
        for ours, tensor in found.items()
    }


def model_card(
    title: str,
    config: GPTConfig,
    n_parameters: int,
    tokenizer: str | None,
    step: int,
    rows: list[Row],
    figure: str | None = None,
) -> str:
    """What a stranger must know of a model, as Markdown, filled from the run that made it.

    It names no license for the weights: that is for whoever trained them to choose.

    Args:
        title, config: of the model.
        n_parameters: without spare rows.
        tokenizer: its name.
        step: updates behind the parameters.
        rows: the run's metrics up to that step, the line about the run first.
        figure: the file beside the card that shows the run's curves.
    """
    hub = hub_library()
    about = rows[0] if rows else {}
    text, repository = training_text(about)
    best_step, best = best_validation(rows)
    head = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    datasets = [repository] if repository else None
    card = hub.ModelCard.from_template(
        hub.ModelCardData(**head, tags=["gpt2", "gptlib"], datasets=datasets),
        template_path=str(Path(__file__).with_name("model_card.md")),
        plain=plain,
        title=title,
        config=config,
        n_parameters=n_parameters,
        spare=padded_size(config.vocab_size, config.vocab_multiple) - config.vocab_size,
        tokenizer=tokenizer,
        text=text,
        about=about,
        step=step,
        settings=list(settings_rows(about, rows)),
        losses=loss_rows(rows),
        figure=figure,
        best=best,
        best_step=best_step,
    )
    return f"{card}\n"  # Jinja drops the last line end


def training_text(about: Row) -> tuple[dict[str, str], str | None]:
    """The text behind a run, never where on a machine it lay, and its repository on the hub."""
    corpus = about.get("corpus")
    if not corpus:
        return {}, None
    path = Path(corpus["name"])
    name = path.name or corpus["name"]
    with suppress(ShardError):  # a prepared folder, which a run names by its path, knows its text
        name = read_index(path / SHARDS).source["name"].partition(": ")[0] or name
    source, license, repository = "not known here", "not known here: fill it in", None
    if spec := CORPORA.get(name):
        repository, license = spec.repository or None, spec.license
        source = f"{repository} on the Hugging Face hub" if repository else spec.source
    facts = {"name": name, "source": source, "license": license, "sha256": corpus["fingerprint"]}
    return facts, repository


def settings_rows(about: Row, rows: list[Row]) -> Iterator[tuple[str, str]]:
    """The settings that decide the outcome, the machine and the versions."""
    seen = [row["tokens"] for row in rows if "tokens" in row]
    if seen:
        yield "tokens seen", f"{seen[-1]:,}"
    settings, versions = about.get("training", {}), about.get("environment", {})
    for name, value in {**settings, **versions}.items():
        if name not in INTERVALS:
            yield name, f"{value:g}" if isinstance(value, float) else str(value)


def loss_rows(rows: list[Row]) -> list[tuple[int, float | None, float | None]]:
    """Steps and losses for a table: at most so many, evenly, the first and the last among them."""
    trained = dict(zip(*curve(rows, "loss"), strict=True))
    validated = dict(zip(*curve(rows, "validation_loss"), strict=True))
    steps = sorted(validated or trained) if trained else []
    n = min(POINTS, len(steps))
    wanted = [steps[place * (len(steps) - 1) // max(1, n - 1)] for place in range(n)]
    return [(step, trained.get(step), validated.get(step)) for step in wanted]


def hub_library() -> Any:
    """`huggingface_hub`, when it is needed: in a notebook its import alone prints a warning."""
    return importlib.import_module("huggingface_hub")


def plain(text: str) -> str:
    """A text on one line that Markdown shows as it is, whatever signs it holds."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$&])", r"\\\1", " ".join(text.split()))


def find_token() -> str:
    """The token of whoever sends; raises PretrainedError where there is none, or no network."""
    if environment.offline():
        raise PretrainedError("HF_HUB_OFFLINE=1 forbids the network: unset it to send")
    token: str | None = hub_library().get_token() or environment.token_in_file()
    if not token:
        raise PretrainedError(f"no token for the hub: {LOG_IN}")
    return token


def push_to_hub(folder: Path, repository: str, private: bool = True, dry_run: bool = False) -> str:
    """Send the files of an exported folder as one commit, into a repository made if need be.

    Args:
        folder: what an export has written; what else lies there, or is a link, stays there.
        repository: ``owner/name`` on the hub.
        private: whether a repository that is not there yet begins as private.
        dry_run: ask nobody, and only tell what would be sent.

    Returns:
        The commit's address; of a dry run the files with their sizes, and where they would go.

    Raises:
        PretrainedError: no such folder or name, or the hub took nothing: no file is visible there.
    """
    files = [folder / name for name in SENT if not (folder / name).is_symlink()]
    sizes = {path.name: path.stat().st_size for path in sorted(files) if path.is_file()}
    for name in (CONFIG, WEIGHTS):
        if name not in sizes:
            raise PretrainedError(f"{folder} holds no {name}: give a folder that was exported")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII):
        raise PretrainedError(f"{repository!r} is no name of a repository: write owner/name")
    address = f"{hub_library().HfApi().endpoint}/{repository}"
    if dry_run:
        lines = [f"{size:>15,} B  {name}" for name, size in sizes.items()]
        lines.append(f"{sum(sizes.values()):>15,} B  to {address}")
        made = "private" if private else "public"
        lines.append(f"A repository that is not there yet is made, {made};")
        return "\n".join(lines) + " in one that is there, files of these names are replaced."
    token, hub = find_token(), libraries()[1]
    if environment.quiet():
        hub.utils.disable_progress_bars()
    try:
        hub.create_repo(repository, token=token, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository,
            token=token,
            folder_path=folder,
            allow_patterns=list(sizes),
            commit_message="A model exported by gptlib",
        )
        return str(done.commit_url)
    except Exception as error:
        reason = one_line(error).replace(token, "…")
        way = "connect, or try again later"
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            way = f"see that your token may write there, or {LOG_IN}"
        raise PretrainedError(f"{address} did not take the files ({reason}): {way}") from None
