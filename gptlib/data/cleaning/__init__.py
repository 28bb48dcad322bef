"""Noisy rows in, clean rows out, with a count of what each step dropped and why.

words       function words of French, Arabizi and other languages
kinds       what language a row is in
steps       one repair or one reason to drop, each
duplicates  rows seen before, and rows nearly like one seen before
report      what each step did, as a table
cleaner     steps in a row; the cleaners for Darija and for any other text
"""

from gptlib.data.cleaning.cleaner import Cleaner, darija_cleaner, text_cleaner
from gptlib.data.cleaning.kinds import arabic_share, is_arabizi, is_french, kind_of
from gptlib.data.cleaning.report import CleaningReport

__all__ = [
    "Cleaner",
    "CleaningReport",
    "arabic_share",
    "darija_cleaner",
    "is_arabizi",
    "is_french",
    "kind_of",
    "text_cleaner",
]
