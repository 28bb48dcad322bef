"""Recordings of reference runs: "is my curve normal?", where the run is too long to repeat.

recording  what is kept of three runs that differ in their seed alone; ``record`` makes them
band       how far a fresh run may lie from them; a run held against it, and drawn over it
"""

from gptcourse.reference_runs.band import compare_with, over_band, verdict
from gptcourse.reference_runs.recording import Curve, Recording, load_recording, recording_of, save

__all__ = ["Curve", "Recording", "compare_with", "load_recording", "over_band", "recording_of"]
__all__ += ["save", "verdict"]
