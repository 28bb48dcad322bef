"""Weights from elsewhere, and ours to elsewhere: a model knows nothing of these formats.

weights          OpenAI's weights and Hugging Face folders, read into our model
export           our model as such a folder, with a card, and to the hub (model_card.md)
config_files     what such folders say of the model; tokenizer_files: their tokenizer; both ways
"""
