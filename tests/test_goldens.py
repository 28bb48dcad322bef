"""The package does what it did when the goldens were recorded; see ``tests/goldens/record.py``.

Floats may differ by the last bits that another CPU rounds otherwise: after these few steps 3e-6 of
their value, measured with and without AVX. Bit for bit: ``python tests/goldens/record.py --check``.
A change that is wanted is recorded anew, and read in the diff of the JSON files.
"""

import pytest
from goldens import record

TOLERANCE = 1e-5

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where runs and prepared corpora are made, once for all tests."""
    return tmp_path_factory.mktemp("goldens")


def changed(part, place):
    """What a part of the goldens said otherwise."""
    now = record.observed(part, place)
    return list(record.differences(record.recorded(part), now, TOLERANCE))


def test_four_prepared_corpora_have_the_same_bytes_and_reports(place):
    assert changed("corpora", place) == []


def test_four_runs_have_the_same_losses_norms_and_learning_rates(place):
    assert changed("metrics", place) == []


def test_three_hundred_texts_have_the_same_ids_by_every_tokenizer(place):
    assert changed("ids", place) == []


def test_the_model_of_a_run_that_was_kept_gives_the_same_logits(place):
    assert changed("logits", place) == []


def test_twenty_texts_are_written_as_they_were(place):
    assert changed("texts", place) == []


def test_a_killed_run_that_was_kept_goes_on_like_one_that_was_not_killed(place):
    """Or, by a later version that cannot, is refused by one line that says how to convert it."""
    code, rows, problem = record.resumed(place)
    if code == 0:
        unbroken = record.recorded("metrics")["verses"]
        assert list(record.differences(unbroken, rows, TOLERANCE)) == []
    else:
        assert problem.startswith("error: ") and problem.count("\n") == 1 and "convert" in problem


def test_no_exercise_no_right_answer_and_no_sentence_on_a_mistake_is_lost():
    """That the checks tell them apart is proved in ``exercises/test_exercises.py``."""
    now = record.proof(judged=False)
    for name, then in record.recorded("proof").items():
        assert now[name]["notebook"] == then["notebook"]
        assert now[name]["right"] >= min(then["right"], 3), name  # the package's and two more
        assert set(then["mistakes"]) - set(now[name]["mistakes"]) == set(), name
