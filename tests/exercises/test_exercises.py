"""Every check is proved: it rejects the known mistakes, each by its name, and accepts the rest."""

import inspect
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import planted_exercises
import pytest
import torch
from planted_exercises import total, without_last

from gptcourse.exercises.checks import EXERCISES, GIVEN, judge, sentence
from gptcourse.exercises.prove import prove

EVERY = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


@EVERY
def test_known_mistakes_are_told_what_they_look_like_and_right_answers_are_accepted(exercise):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    for mistake in exercise.mistakes:
        verdict = judge(exercise, mistake)
        said = GIVEN if mistake is exercise.given else sentence(mistake)
        assert verdict.done and not verdict.passed and verdict.message.endswith(said), said
    for function in (exercise.right, *exercise.also_right):
        assert judge(exercise, function).passed, judge(exercise, function)
    assert torch.equal(before[0], torch.get_rng_state())  # nothing that others draw was drawn
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())


@EVERY
def test_an_exercise_has_mistakes_with_sentences_of_their_own_and_right_answers_enough(exercise):
    sentences = [sentence(mistake) for mistake in exercise.mistakes]
    assert all(60 >= len(words.split()) >= 4 for words in sentences)
    assert len(set(sentences)) == len(sentences) >= 9 and len(exercise.also_right) >= 2
    assert len(list(exercise.cases())) >= 3
    assert exercise.given is None or exercise.given in exercise.mistakes
    arity = len(inspect.signature(exercise.right).parameters)
    for function in (*exercise.mistakes, *exercise.also_right):
        assert len(inspect.signature(function).parameters) == arity, function.__name__


def test_nine_notebooks_have_31_exercises_with_six_bugs_to_spot_and_two_clinics():
    counts = Counter(exercise.notebook for exercise in EXERCISES.values())
    assert len(counts) == 9 and counts.total() == 31 and min(counts.values()) >= 2
    assert sum(exercise.given is not None for exercise in EXERCISES.values()) == 6
    assert sum(not exercise.reveal for exercise in EXERCISES.values()) == 2


def test_a_wrong_shape_is_told_whatever_tokens_were_drawn():
    exercise = EXERCISES["sample_next"]
    for function in (exercise.right, *exercise.also_right):  # each draws others from one seed
        verdict = judge(exercise, lambda *arguments, f=function: f(*arguments)[:, None])
        assert "expected shape (1,), came shape (1, 1)" in verdict.message
        assert "column (B, 1)" in verdict.message.splitlines()[-1]


PLANTED = planted_exercises.EXERCISES
TOTAL, BLIND = PLANTED["total"], replace(PLANTED["total"], mistakes=(total,))


@pytest.mark.parametrize(
    ("exercises", "holds", "words"),
    [
        (PLANTED.values(), True, "3 checks reject 3 wrong and accept 6 right functions"),
        ([TOTAL], True, " 1 of 1          2 of 2 "),
        ([BLIND], False, "FAILED: total accepts the mistake total"),
        (
            [replace(TOTAL, also_right=(without_last,))],
            False,
            "FAILED: total rejects right answer 1, without_last",
        ),
        ([replace(TOTAL, mistakes=())], False, "FAILED: total knows no mistake"),
        ([], False, "notebook"),
    ],
)
def test_the_proof_says_which_functions_a_check_takes_for_what_they_are_not(
    exercises, holds, words
):
    said = []
    assert prove(exercises, said.append) is holds
    assert words in "\n".join(said)
