"""The proof of the checks says which known implementations a check takes for what they are not."""

from dataclasses import replace

import planted_exercises

from gptcourse.exercises.prove import prove


def said_of(*exercises):
    said = []
    return prove(exercises, said.append), "\n".join(said)


def test_checks_that_hold_are_counted():
    holds, said = said_of(*planted_exercises.EXERCISES.values())
    assert holds and "3 checks reject 3 wrong and accept 6 right functions" in said
    assert "doubled" in said and " 1 of 1" in said and " 2 of 2" in said


def test_a_mistake_that_is_accepted_is_named():
    planted = planted_exercises.exercise("total", sum, planted_exercises.total)
    holds, said = said_of(planted)
    assert not holds and "0 of 1" in said and "FAILED: total accepts the mistake total" in said


def test_a_right_one_that_is_rejected_is_named():
    wrong = planted_exercises.without_last
    planted = replace(planted_exercises.EXERCISES["total"], also_right=(wrong,))
    holds, said = said_of(planted)
    assert not holds and "FAILED: total rejects without_last, which is right" in said


def test_no_mistake_and_no_exercise_prove_nothing():
    planted = replace(planted_exercises.EXERCISES["total"], mistakes=())
    assert said_of(planted)[0] is False and "knows no mistake" in said_of(planted)[1]
    assert said_of()[0] is False
