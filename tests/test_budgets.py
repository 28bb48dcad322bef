"""The packages stay small: each folder has a budget of lines, which only a decision raises.

A folder that has become smaller gets its new size here in the commit that earned it. The redesign
wanted gptlib at 5,300 lines and gptcourse at 4,800; three passes over every function ended here.

Raised since: gptlib/data by 180, for small words of twenty languages (Spanish was taken for
French), a score of Darija against standard Arabic, and masks for addresses; gptlib/training by 60,
for processes that must agree before they train, and runs that go on with another cut of a step.
"""

import pytest

from gptcourse.paths import REPOSITORY

BUDGETS = {
    "gptlib": 9_470,
    "gptlib/tokenizer": 885,
    "gptlib/data": 2_440,
    "gptlib/training": 1_650,
    "gptlib/pretrained": 895,
    "gptlib/commands": 1_020,
    "gptcourse": 6_650,
    "gptcourse/exercises": 4_120,
    "gptcourse/notebooks": 960,
    "gptcourse/grading": 580,
    "gptcourse/reference_runs": 470,
    "tests": 17_330,
}
SLACK = 0.05  # the share of a budget that may be left over before it has to be lowered


def lines(folder):
    """Lines of Python in a folder of the repository, with all below it."""
    files = (REPOSITORY / folder).rglob("*.py")
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


def complaint(folder, count, budget):
    """What is said of a folder that is too large, or so small that its budget is no longer one."""
    if count > budget:
        return f"{folder} has {count:,} lines, its budget is {budget:,}: make it smaller"
    if count < budget * (1 - SLACK):
        return f"{folder} has {count:,} lines: lower its budget of {budget:,} to that"
    return None


@pytest.mark.parametrize("folder", BUDGETS)
def test_a_folder_keeps_its_budget(folder):
    assert complaint(folder, lines(folder), BUDGETS[folder]) is None


def test_every_folder_of_the_packages_has_a_budget():
    folders = {
        file.parent.relative_to(REPOSITORY).as_posix()
        for package in ("gptlib", "gptcourse")
        for file in (REPOSITORY / package).rglob("*.py")
    }
    assert folders <= set(BUDGETS)


def test_growth_and_a_forgotten_budget_are_told():
    assert "make it smaller" in complaint("a", 101, 100)
    assert "lower its budget" in complaint("a", 94, 100)
    assert complaint("a", 96, 100) is None
