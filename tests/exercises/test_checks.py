"""The engine of the exercises: what a check sees, what it says, and what it leaves alone."""

import functools
import itertools
import random
import threading
import time

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from gptcourse import check
from gptcourse.exercises import exercise as exercise_file
from gptcourse.exercises.checks import EXERCISES, judge
from gptcourse.exercises.compare import difference
from gptcourse.exercises.exercise import Case, Exercise, outcomes


def doubled(numbers):
    return [2 * number for number in numbers]


def squared(numbers):
    """This looks like squares."""
    return [number**2 for number in numbers]


def crashing(numbers):
    """This looks like a key that is not there."""
    return {}["a"]


def cases():
    yield Case("the empty list", ([],))
    yield Case("three numbers", ([1, 2, 3],))


def exercise(right=doubled, cases=cases, mistakes=(squared, crashing)):
    return Exercise("doubled", "02_attention", right, cases, mistakes)


def wrong(function, exercise=exercise()):  # noqa: B008
    """The message for a function that does not pass."""
    verdict = judge(exercise, function)
    assert verdict.done and not verdict.passed
    assert "Traceback" not in str(verdict) and ".py" not in str(verdict)
    assert str(verdict).startswith("✗ doubled: ")
    return verdict.message


def in_place(numbers):
    numbers[:] = [2 * number for number in numbers]
    return list(numbers)


def fails(error):
    def failing(numbers):
        raise error

    return failing


class Doubler:
    def __call__(self, numbers):
        return doubled(numbers)


# What a check says


@pytest.mark.parametrize(
    "function",
    [
        lambda numbers: [x + x for x in numbers],
        lambda numbers: (x + x for x in numbers),  # an iterator of the same
        lambda numbers: print("here") or doubled(numbers),
        *[Doubler(), Doubler().__call__, functools.partial(doubled)],
    ],
)
def test_a_right_function_passes(function):
    assert str(judge(exercise(), function)) == "✓ doubled: right in all 2 cases"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda numbers: None, "came None (is the return missing?)"),
        (lambda numbers: itertools.count(), "10,000"),  # cut where it does not end
        (in_place, "numbers, after the call: at [0] expected 1, came 2"),
        (lambda: 1, "TypeError: <lambda>() takes 0 positional arguments but 1 was given"),
        (lambda a, b: 1, "TypeError: <lambda>() missing 1 required positional argument"),
        (Doubler, "TypeError: Doubler() takes no arguments"),
        (lambda numbers: torch.tensor([1]).softmax(dim=0), "NotImplementedError in line"),
        (fails(SystemExit()), "SystemExit in line"),
        (fails(AssertionError()), "of your cell (case"),  # without words of its own
        *[(thing, "give the function itself") for thing in (None, 3, [1], torch.ones(2), "name")],
    ],
)
def test_a_wrong_function_is_told_what_came(function, words):
    assert words in wrong(function)


def test_a_known_mistake_is_named_and_an_unknown_one_is_not():
    assert wrong(lambda numbers: [n * n for n in numbers]) == (
        "wrong in 1 of 2 cases. The first:\n"
        "  the result: at [0] expected 2, came 1 (case: three numbers)\n"
        "  This looks like squares."
    )
    assert "looks like" not in wrong(lambda numbers: [n**3 for n in numbers])
    assert wrong(lambda numbers: {}["a"]).endswith("This looks like a key that is not there.")
    assert "looks like" not in wrong(lambda numbers: {}["b"])


def letter(answers, sentence=None):
    """A function that gives one of ten letters by its place; where "!" stands, it fails."""

    def found(place):
        return answers[place] if answers[place] != "!" else {}[answers]

    found.__doc__ = sentence
    return found


@pytest.mark.parametrize(
    ("answers", "known", "named"),
    [
        ("abbaaaaaaa", ["abbaaaaaaa", "acaaaaaaaa"], 0),  # the same everywhere
        ("abcaaaaaaa", ["acaaaaaaaa", "abbaaaaaaa"], 1),  # a second slip behind it
        ("abccccaaaa", ["abbbbbaaaa"], 0),  # the same in six of ten
        ("abcccccaaa", ["abbbbbbaaa"], None),  # in five
        ("acbaaaaaaa", ["abbaaaaaaa"], None),  # not in the first that is wrong
        ("abaaaaaaaa", ["abbaaaaaaa"], None),  # right where the mistake is wrong
        ("abccaaaaaa", ["abbbaaaaaa", "abbcaaaaaa"], 1),  # the closer of two
        ("abcaaaaaaa", ["abbaaaaaaa", "abdaaaaaaa"], None),  # two that are equally close
        ("a!caaaaaaa", ["a!baaaaaaa"], None),  # an error with other words
    ],
)
def test_of_two_slips_at_once_the_first_is_named_where_no_other_is_as_likely(answers, known, named):
    places = lambda: (Case(str(place), (place,)) for place in range(10))  # noqa: E731
    mistakes = tuple(letter(wrong, f"Known mistake {n}.") for n, wrong in enumerate(known))
    message = judge(exercise(letter("a" * 10), places, mistakes), letter(answers)).message
    expected = [] if named is None else [f"Known mistake {named}."]
    assert [line.strip() for line in message.splitlines() if "Known" in line] == expected


HELPER = "\n\n\n\n\n\n\ndef helper():\n    raise ValueError('no')\n"
RAISES = [
    ("def my(numbers):\n    a = 1\n    raise ValueError('no')", 3),
    ("def my(numbers):\n    raise ValueError('no')\n    yield 1", 2),
    ("def my(numbers):\n    return helper()", 2),
    ("def inner():\n    raise ValueError('no')\ndef my(numbers):\n    inner()", 2),
    ("import torch\n@torch.no_grad()\ndef my(numbers):\n    raise ValueError('no')", 4),
    ("class My:\n    def __call__(self, numbers):\n        raise ValueError('no')\nmy = My()", 3),
    ("class my:\n    def __init__(self, numbers):\n        raise ValueError('no')", 3),
    (
        "import torch\nclass M(torch.nn.Module):\n    def forward(self, n):\n"
        "        raise ValueError('no')\nmy = M()",
        4,
    ),
    ("import json\n\ndef my(numbers):\n    json.loads('')", 4),  # in a library
]


@pytest.mark.parametrize(("source", "line"), RAISES)
def test_an_error_is_told_with_the_line_of_the_learners_own_cell(source, line):
    names = {"__name__": "__main__"}
    for number, cell in enumerate((HELPER, source)):  # each cell is a file, as in a kernel
        exec(compile(cell, f"kernel/{number}.py", "exec"), names)
    assert f"Error in line {line} of your cell: " in wrong(names["my"])


def test_an_error_that_was_expected_is_compared_by_its_class():
    first = exercise(lambda numbers: numbers.index(7), mistakes=())
    assert judge(first, lambda numbers: numbers.index(8)).passed
    assert "expected the error ValueError, came no error" in wrong(lambda n: 1, first)
    assert "expected the error ValueError, came KeyError" in wrong(lambda n: {}["a"], first)


def lazy_stub(numbers):
    yield 2
    raise NotImplementedError("not done yet")


@pytest.mark.parametrize(
    "function",
    [
        fails(NotImplementedError("not done yet")),
        lambda numbers: numbers and fails(NotImplementedError)(numbers),  # half done
        lazy_stub,
    ],
)
def test_a_stub_is_not_done_yet(function):
    assert str(judge(exercise(), function)) == "· doubled: not done yet"


# What a check leaves alone


def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def draws(numbers=()):
    return [random.random(), torch.rand(1), float(np.random.rand())]


def test_a_check_draws_the_same_each_time_and_nothing_that_others_draw():
    def layers():
        yield Case("a layer", (torch.nn.Linear(2, 3).weight.tolist(),))

    by_chance, seen, following = exercise(draws, layers), [], []
    for seed in (1, 2):
        seed_all(seed)
        following.append(draws())
        seed_all(seed)
        assert judge(by_chance, draws).passed
        wrong(lambda numbers: [*draws(numbers), torch.rand(2)], by_chance)
        seen.append(list(outcomes(by_chance, draws)))
        assert draws() == following[-1]
    assert difference(*seen) is None and following[0] != following[1]


def test_a_check_computes_in_one_thread_with_gradients_and_gives_back_what_was():
    def switched(numbers):
        was_on = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        return torch.get_num_threads(), was_on

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert judge(exercise(lambda numbers: (1, True)), switched).passed  # in every case
        with pytest.raises(KeyboardInterrupt):  # Ctrl-C ends a check
            judge(exercise(), fails(KeyboardInterrupt()))
        assert torch.get_num_threads() == 2 and torch.is_grad_enabled()
    finally:
        torch.set_num_threads(before)


def test_the_name_hash_is_the_notebooks_own_again():
    source = {}
    exec("def order(n, seed, epoch, start):\n    return iter([hash('a') % n])", source)
    assert not judge(EXERCISES["epoch_order"], source["order"]).passed
    assert "hash" not in source


# How it is called


def test_a_check_that_runs_on_says_so_once_and_ends_as_ever(capsys, monkeypatch):
    def said(patience, quiet):
        monkeypatch.setattr(exercise_file, "PATIENCE", patience)
        monkeypatch.setattr("gptlib.environment.quiet", lambda: quiet)
        check.merge_heads(lambda *_: time.sleep(0.1) or 1)
        return capsys.readouterr().out

    verdict = said(60, quiet=False)
    assert verdict.startswith("✗ merge_heads: wrong")
    assert said(0.05, quiet=True) == verdict  # outputs that are compared stay quiet
    words = "· merge_heads: still running: a loop that never ends? stop with ■ (Interrupt)\n"
    assert said(0.05, quiet=False) == words + verdict
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


ENDLESS = """\
class MyMLP(MLP):
    def forward(self, x):
        raise KeyboardInterrupt  # as ■ does, wherever the code is just then


def my_merge_heads(x):
    return MyMLP.forward(None, x)


"""


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("check.merge_heads(my_merge_heads)", "· merge_heads: stopped in line 3 of your cell"),
        ("swap(mlp=MyMLP)", "· swap: stopped in line 3 of your cell"),
    ],
)
def test_what_is_stopped_says_where_it_was_in_one_line_and_ends_the_run(call, line, capsys):
    shell = InteractiveShell()
    shell.run_cell("from gptcourse import check, swap\nfrom gptlib.block import MLP")
    capsys.readouterr()
    done = shell.run_cell(ENDLESS + call)
    assert capsys.readouterr().out == line + "\n"
    assert isinstance(done.error_in_exec, KeyboardInterrupt)  # the cells behind it do not run


def test_a_check_is_found_by_its_name_and_an_unknown_one_suggests_the_near_one(capsys):
    check.causal_weights(fails(TypeError()))
    assert capsys.readouterr().out.startswith("✗ causal_weights: wrong in 6 of 6 cases.")
    for near in ("causal_weight", "my_causal_weights"):
        with pytest.raises(AttributeError, match=r"did you mean check\.causal_weights\?"):
            getattr(check, near)
    with pytest.raises(AttributeError, match=r"'zzz'$"):
        _ = check.zzz
    assert not hasattr(check, "_repr_html_") and dir(check) == sorted(EXERCISES)
