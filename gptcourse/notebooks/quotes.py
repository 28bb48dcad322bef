"""Which finished definitions each notebook quotes: the one list behind the ``in-step`` cells.

A notebook's in-step cells stand in the order of its entries. Each cell begins with its file's
path as a comment; ``python -m gptcourse refresh`` writes the rest from the package. Every
definition that the course builds is quoted in exactly one notebook.
"""

from typing import NamedTuple


class Quote(NamedTuple):
    """One in-step cell: definitions (functions, classes, constants) of one file, in order."""

    file: str  # from the repository's root, with forward slashes
    names: tuple[str, ...]


QUOTES: dict[str, list[Quote]] = {
    "01_tokenization": [
        Quote("gptlib/tokenizer/bpe.py", ("Pair", "count_pairs")),
        Quote("gptlib/tokenizer/bpe.py", ("merge",)),
        Quote("gptlib/tokenizer/bpe.py", ("Queue", "tie_order", "best_pair")),
        Quote("gptlib/tokenizer/bpe.py", ("train_bpe",)),
        Quote("gptlib/tokenizer/bpe.py", ("encode_piece",)),
        Quote("gptlib/tokenizer/tokenizers.py", ("decode_stream",)),
    ],
    "02_attention": [
        Quote("gptlib/attention.py", ("split_heads", "merge_heads")),
        Quote("gptlib/attention.py", ("causal_weights",)),
        Quote("gptlib/attention.py", ("CausalSelfAttention",)),
    ],
    "03_transformer_block": [
        Quote("gptlib/block.py", ("layer_norm", "LayerNorm", "gelu")),
        Quote("gptlib/block.py", ("MLP", "Block")),
    ],
    "04_gpt2_124m": [
        Quote("gptlib/config.py", ("GPTConfig",)),
        Quote("gptlib/model.py", ("GPT",)),
        Quote("gptlib/model.py", ("initialize", "check_ids")),
        Quote("gptlib/model.py", ("count_parameters",)),
        Quote("gptlib/generation/sampling.py", ("sample_next", "keep_top_k", "keep_top_p")),
        Quote("gptlib/generation/loop.py", ("visible", "evaluating")),
        Quote("gptlib/generation/loop.py", ("generate_ids",)),
    ],
    "05_pretraining_the_verdict": [
        Quote("gptlib/data/windows.py", ("windows",)),
        Quote("gptlib/training/loss.py", ("next_token_loss",)),
        Quote("gptlib/training/optimizer.py", ("make_optimizer",)),
        Quote("gptlib/data/batches.py", ("epoch_order", "Batches")),
        Quote("gptlib/training/schedule.py", ("learning_rate_at",)),
        Quote("gptlib/training/evaluation.py", ("evaluate",)),
        Quote(
            "gptlib/training/clipping.py",
            ("gradient_norm", "clip_gradients", "first_not_finite"),
        ),
        Quote("gptlib/training/step.py", ("MicroBatch", "training_step")),
    ],
    "06_pretraining_wikipedia": [
        Quote("gptlib/data/tokenising.py", ("Slab", "encode_each")),
        Quote("gptlib/data/shard_index.py", ("LARGEST", "dtype_of")),
        Quote("gptlib/data/shards.py", ("TokenShards",)),
        Quote(
            "gptlib/data/split.py",
            ("SPACES", "OTHER_SPACES", "split_of", "hash_place", "levelled"),
        ),
        Quote("gptlib/data/shards.py", ("ShardWindows",)),
        Quote("gptlib/training/reproducibility.py", ("seed_at",)),
        Quote("gptlib/training/optimizer.py", ("moments", "restore_moments", "parameter_names")),
        Quote("gptlib/data/shard_index.py", ("check_shard",)),
    ],
    "07_pretraining_darija": [
        Quote(
            "gptlib/data/cleaning/kinds.py",
            ("ARABIC_LETTERS", "ARABIC_RUN", "LETTER_RUN", "arabic_share"),
        ),
        Quote("gptlib/data/cleaning/steps.py", ("Repair", "DropIf", "without")),
        Quote("gptlib/data/cleaning/cleaner.py", ("Cleaner",)),
        Quote("gptlib/training/bits.py", ("bits_per_byte",)),
        Quote("gptlib/training/bits.py", ("Surprise", "surprise")),
        Quote("gptlib/config.py", ("padded_size",)),
    ],
    "08_openai_weights": [
        Quote("gptlib/pretrained/names.py", ("MODULES", "CONV1D", "PREFIX")),
        Quote("gptlib/pretrained/names.py", ("their_name", "swap_layout")),
        Quote("gptlib/pretrained/openai.py", ("check_names", "check_shape")),
        Quote("gptlib/generation/cache.py", ("attention_step",)),
        Quote("gptlib/generation/sampling.py", ("penalise_repeats",)),
        Quote("gptlib/generation/scoring.py", ("log_probabilities",)),
    ],
    "09_gradient_norms_and_throughput": [
        Quote("gptlib/training/clipping.py", ("layer_norms", "layer_of")),
        Quote("gptlib/training/flops.py", ("forward_flops",)),
        Quote("gptlib/training/flops.py", ("flops_per_token",)),
        Quote("gptlib/training/flops.py", ("throughput",)),
    ],
}
