"""Text in, batches out: corpora, the split, windows, and the order in which they are seen."""
