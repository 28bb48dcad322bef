"""Exercises: checks of the learner's own code, each proved on right and wrong functions."""
