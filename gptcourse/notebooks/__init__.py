"""The notebooks: run them, hold them in step with gptlib, write the learner edition."""
