"""From a model and windows to a trained model: one step, the loop, and what is kept of a run."""
