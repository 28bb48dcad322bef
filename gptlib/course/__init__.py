"""The notebooks as a course: run them, hold them in step with the package, publish and grade them.

Knows no torch: what needs it runs in the notebooks' own kernels.
"""

# What the tests run under, and what the stored outputs come from: the same on every machine.
STORED = {"GPTLIB_PROFILE": "laptop", "GPTLIB_DEVICE": "cpu", "GPTLIB_CORPORA": "bundled"}
# The real texts, at the size that fits this machine.
REAL = {"GPTLIB_CORPORA": ""}
