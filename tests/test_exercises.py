"""Every check is proved: it rejects the known mistakes, each by its name, and accepts the rest."""

import inspect
from collections import Counter

import pytest

from gptcourse.exercises.checks import EXERCISES, GIVEN, judge, sentence

EVERY = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]
STYLES = [
    (exercise, function)
    for exercise in EXERCISES.values()
    for function in (exercise.right, *exercise.also_right)
]


def named(pairs):
    return [f"{exercise.name}-{function.__name__}" for exercise, function in pairs]


@pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=named(MISTAKES))
def test_every_known_mistake_is_rejected_and_told_what_it_looks_like(exercise, mistake):
    verdict = judge(exercise, mistake)
    assert verdict.done and not verdict.passed
    said = GIVEN if mistake is exercise.given else sentence(mistake)
    assert verdict.message.endswith(said)


def test_a_wrong_shape_is_told_whatever_tokens_were_drawn():
    exercise = EXERCISES["sample_next"]
    for function in (exercise.right, *exercise.also_right):  # each draws others from one seed
        verdict = judge(exercise, lambda *arguments, f=function: f(*arguments)[:, None])
        assert "expected shape (1,), came shape (1, 1)" in verdict.message
        assert "column (B, 1)" in verdict.message.splitlines()[-1]


@pytest.mark.parametrize(("exercise", "function"), STYLES, ids=named(STYLES))
def test_every_right_implementation_is_accepted(exercise, function):
    verdict = judge(exercise, function)
    assert verdict.passed, verdict.message


@EVERY
def test_an_exercise_has_cases_mistakes_and_right_ones_enough(exercise):
    assert len(exercise.mistakes) >= 4
    assert len(exercise.also_right) >= 2
    assert len(list(exercise.cases())) >= 3 or "clinic" in exercise.name
    assert exercise.given is None or exercise.given in exercise.mistakes


@EVERY
def test_each_mistake_has_a_sentence_that_is_its_own(exercise):
    sentences = [sentence(mistake) for mistake in exercise.mistakes]
    assert all(60 >= len(words.split()) >= 4 for words in sentences)
    assert len(set(sentences)) == len(sentences)


def test_every_notebook_has_two_exercises_or_more_of_which_two_know_eight_mistakes():
    counts = Counter(exercise.notebook for exercise in EXERCISES.values())
    thorough = Counter(e.notebook for e in EXERCISES.values() if len(e.mistakes) >= 8)
    assert len(counts) == 9
    assert all(count >= 2 for count in counts.values()), counts
    assert all(thorough[notebook] >= 2 for notebook in counts), thorough


def test_there_are_at_least_24_with_six_bugs_to_spot_and_two_clinics():
    assert len(EXERCISES) >= 24
    assert sum(exercise.given is not None for exercise in EXERCISES.values()) >= 6
    assert sum(not exercise.reveal for exercise in EXERCISES.values()) >= 2


@EVERY
def test_all_implementations_take_the_same_arguments(exercise):
    arity = len(inspect.signature(exercise.right).parameters)
    for function in (*exercise.mistakes, *exercise.also_right):
        assert len(inspect.signature(function).parameters) == arity, function.__name__
