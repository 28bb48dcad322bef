"""Recordings: the curves of a reference run, small enough to keep in the repository.

A recording answers "is my curve normal?" where the reference run itself is too long to repeat, or
its text may not be shipped. It is read without torch.

recording  what is kept of three runs that differ in their seed alone
bands      how far a fresh run may lie from them
verdict    a run held against a recording, in a sentence: ``judging``
"""

from gptlib.recordings.judging import verdict
from gptlib.recordings.recording import Curve, Recording, load_recording, recording_of, save

__all__ = ["Curve", "Recording", "load_recording", "recording_of", "save", "verdict"]
