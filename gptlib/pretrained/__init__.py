"""Weights from elsewhere: a model knows nothing of the formats that it travels in.

names         one table of names: ours, and those of OpenAI's weights on the hub
configuration what a ``config.json`` says of a model's shape
tensors       named tensors of safetensors files, refused where they could do harm
hub           OpenAI's files from the Hugging Face hub
openai        all of it together: ``load_openai``

tokenizer_files  tokenizers for ``AutoTokenizer``, and back
huggingface      folders that transformers opens, and back: ``export_model``, ``import_model``
provenance       the text behind a run
card             the model card, filled from the run
sending          an exported folder to the hub
"""
