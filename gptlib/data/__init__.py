"""Texts → documents → token ids → windows. Read ``dataset`` first, beside notebook 05.

dataset      windows of ids, in memory or on the disk, and their order
corpora      texts by name, path or address (readers: files; hub: the Hugging Face hub)
split        training and held-out documents, and what they share
shards       ids on the disk: written, verified, opened
prepare      from a corpus to a folder of shards
cleaning     filters, duplicates, a report (normalizers: what a step writes anew)
language_id  Darija, French, both or another language (function_words: by their small words)
"""

from gptlib.data.cleaning import (
    Cleaner,
    CleaningReport,
    StepReport,
    darija_cleaner,
    n_bytes,
    text_cleaner,
)
from gptlib.data.corpora import Corpus, load_corpus, stream_corpus
from gptlib.data.dataset import (
    TokenDataset,
    TokenIds,
    TokenShards,
    encode_documents,
    epoch_order,
)
from gptlib.data.function_words import FUNCTION_WORDS
from gptlib.data.language_id import Language, arabic_share, darija_score, detect_language
from gptlib.data.prepare import PreparedCorpus, open_prepared, prepare
from gptlib.data.shards import open_shards, verify_shards
from gptlib.data.split import split_documents, split_of, split_stream

__all__ = [
    "FUNCTION_WORDS",
    "Cleaner",
    "CleaningReport",
    "Corpus",
    "Language",
    "PreparedCorpus",
    "StepReport",
    "TokenDataset",
    "TokenIds",
    "TokenShards",
    "arabic_share",
    "darija_cleaner",
    "darija_score",
    "detect_language",
    "encode_documents",
    "epoch_order",
    "load_corpus",
    "n_bytes",
    "open_prepared",
    "open_shards",
    "prepare",
    "split_documents",
    "split_of",
    "split_stream",
    "stream_corpus",
    "text_cleaner",
    "verify_shards",
]
