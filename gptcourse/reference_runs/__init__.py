"""Recordings: the curves of a reference run, small enough to keep in the repository.

A recording answers "is my curve normal?" where the reference run itself is too long to repeat, or
its text may not be shipped. It is read without torch.

recording  what is kept of three runs that differ in their seed alone; ``record`` makes them
band       how far a fresh run may lie from them, and a run held against it, in a sentence
compare    a run drawn over the band
"""

from gptcourse.reference_runs.band import verdict
from gptcourse.reference_runs.compare import over_band
from gptcourse.reference_runs.recording import Curve, Recording, load_recording, recording_of, save

__all__ = ["Curve", "Recording", "load_recording", "over_band", "recording_of", "save", "verdict"]
