"""Weights from elsewhere, and ours to elsewhere: a model knows nothing of these formats.

weights          OpenAI's weights and Hugging Face folders, read into our model
export           our model as such a folder, with a card, and to the hub (model_card.md)
config_files     what such folders say of the model; tokenizer_files: their tokenizer; both ways
"""

from gptlib.errors import PretrainedError
from gptlib.pretrained.config_files import read_config
from gptlib.pretrained.export import export_model
from gptlib.pretrained.weights import (
    BUFFER,
    HEAD,
    check_tensors,
    check_tied,
    fetch,
    import_model,
    load_openai,
    open_tensors,
    read_tensor,
)

__all__ = [
    "BUFFER",
    "HEAD",
    "PretrainedError",
    "check_tensors",
    "check_tied",
    "export_model",
    "fetch",
    "import_model",
    "load_openai",
    "open_tensors",
    "read_config",
    "read_tensor",
]
