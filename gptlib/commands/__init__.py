"""What the command line does: a function for each command, given what :mod:`gptlib.cli` read."""
