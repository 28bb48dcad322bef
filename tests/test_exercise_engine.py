"""The engine of the exercises: what a check sees, what it says, and what it leaves alone."""

import copy
import functools
import itertools
import math
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from gptcourse import check
from gptcourse.exercises import exercise as exercise_file
from gptcourse.exercises.catalogue import EXERCISES
from gptcourse.exercises.checks import judge, sentence
from gptcourse.exercises.compare import difference
from gptcourse.exercises.exercise import Case, Exercise, outcomes

NAN, INF = math.nan, math.inf
# -- what differs


def nested(*leaves):
    keys = st.text("ab", min_size=1, max_size=2)
    both = lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)  # noqa: E731
    return st.recursive(st.one_of(*leaves), both, max_leaves=6)


shapes = st.lists(st.integers(0, 3), max_size=3)
dtypes = st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint16, torch.bool])
tensors = st.builds(lambda shape, dtype: torch.full(shape, 1, dtype=dtype), shapes, dtypes)
EXACT = (st.integers(-2, 2), st.booleans(), st.text("xy", max_size=2), st.none(), st.just(b"a"))


@given(nested(*EXACT), nested(*EXACT))
def test_two_values_without_fractions_differ_exactly_when_they_are_not_equal(expected, came):
    assert (difference(expected, came) is None) == (expected == came)


@given(nested(*EXACT, st.floats(), st.integers(), tensors))
def test_a_copy_does_not_differ(value):
    assert difference(value, copy.deepcopy(value)) is None


def leaves(value, place=""):
    """Yield (where it stands, how to set it) of each leaf inside lists and dictionaries."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        step = f" {key!r}" if isinstance(value, dict) else f"[{key}]"
        if isinstance(inner, list | dict):
            yield from leaves(inner, place + step)
        elif not (isinstance(inner, torch.Tensor) and inner.numel() == 0):
            yield place + step, functools.partial(value.__setitem__, key), inner


def other(leaf):
    if isinstance(leaf, torch.Tensor):
        changed = leaf.clone()
        changed.view(-1)[-1] = 0
        return changed
    if isinstance(leaf, float):
        return 0.0 if not abs(leaf) <= 1 else leaf + 1
    if isinstance(leaf, str | bytes):
        return leaf + leaf[:0].ljust(1)
    return not leaf if isinstance(leaf, bool) else (leaf or 0) + 1


@given(nested(*EXACT, st.floats(), st.integers(), tensors), st.data())
def test_one_changed_leaf_is_found_and_its_place_is_named(value, data):
    value, found = [value], copy.deepcopy([value])
    places = list(leaves(found))
    if places:
        place, change, leaf = data.draw(st.sampled_from(places))
        change(other(leaf))
        words = difference(value, found)
        assert words is not None and words.replace(" ", "").startswith(
            "at" + place.replace(" ", "")
        )


@pytest.mark.parametrize(
    ("expected", "came"),
    [
        *[(1.0, 1.00001), (1.0, 1), (1, 1.0), (NAN, NAN), (INF, INF), (2.0, torch.tensor([2.0]))],
        *[(1, np.int64(1)), (True, np.True_), ([1, 2], (1, 2)), ({1}, frozenset({1}))],
        *[(torch.tensor(NAN), torch.tensor(NAN)), (torch.zeros(0, 2), torch.zeros(0, 2))],
        *[(torch.ones(2), torch.ones(2, requires_grad=True)), (len, max), (Path("a"), Path("a"))],
    ],
)
def test_what_may_pass_for_the_same(expected, came):
    assert difference(expected, came) is None


@pytest.mark.parametrize(
    ("expected", "came", "words"),
    [
        (124_439_808, 124_439_809, "expected 124439808, came 124439809"),
        (1.0, 1.0001, "expected 1, came 1.0001"),
        (INF, 5.0, "expected inf, came 5"),
        (INF, -INF, "expected inf, came -inf"),
        (5.0, NAN, "expected 5, came nan"),
        (NAN, 5.0, "expected nan, came 5"),
        (5.0, "5", "expected 5, came '5'"),
        (5.0, torch.ones(2), "expected 5, came a tensor of shape (2,)"),
        (5.0, np.ones(2), "expected 5, came array([1., 1.])"),
        (5.0, float, "expected 5, came <class 'float'>"),
        (5, None, "expected 5, came None (is the return missing?)"),
        (None, 5, "expected None, came 5"),
        ("a", b"a", "expected 'a', came b'a'"),
        ([1, 2], [1], "expected 2 elements, [1, 2], came 1, [1]"),
        (["a"], "a", "expected ['a'], came 'a'"),
        ({"a": 1}, {}, "expected the key 'a', came the keys []"),
        ({}, {"a": 1}, "expected no other key, came the key 'a' too"),
        ({1}, np.ones(2), "expected {1}, came array([1., 1.])"),
        (torch.float32, torch.float16, "expected torch.float32, came torch.float16"),
        (Path("a"), Path("b"), f"expected {Path('a')!r}, came {Path('b')!r}"),
        (torch.ones(2, 3), torch.ones(3, 2), "expected shape (2, 3), came shape (3, 2)"),
        (torch.ones(2), torch.ones(2).double(), "expected torch.float32, came torch.float64"),
        (torch.ones(2), torch.ones(2, device="meta"), "expected cpu, came meta"),
        (torch.ones(2), torch.ones(2).to_sparse(), "expected torch.strided, came torch.sparse_coo"),
        (torch.ones(2), [1.0, 1.0], "expected a tensor of shape (2,), came [1.0, 1.0]"),
        (torch.tensor(True), torch.tensor(False), "expected True, came False"),
        (torch.tensor(1.0), torch.tensor(1.00003), "expected 1, came 1.00003"),
        (
            torch.tensor([[5, 100_000]]),
            torch.tensor([[5, 100_001]]),
            "at [0, 1], the first of 1 of 2 places, expected 100000, came 100001",
        ),
    ],
)
def test_what_differs_is_said_in_words(expected, came, words):
    assert difference(expected, came) == words


def test_numbers_beyond_every_float_are_compared():
    assert difference(5.0, 10**400) and difference(10**400, 10**400) is None


def test_long_texts_that_begin_alike_are_shown_where_they_part():
    words = difference("a" * 500 + "b", "a" * 500 + "c")
    assert words.startswith("at [500] expected") and "ab'" in words and "ac'" in words
    assert difference("a" * 70, "a" * 71).startswith("at [70] expected")
    assert difference("a" * 70, b"a" * 70) is not None


@dataclass
class Setting:
    rate: float
    table: torch.Tensor


def test_the_field_of_a_dataclass_is_named():
    one, same, other = (Setting(0.1, torch.full((2,), v)) for v in (1.0, 1.0, 2.0))
    assert difference(one, same) is None
    assert difference(one, other).startswith("at 'table' [0]")


def test_modules_are_compared_by_mode_and_parameters():
    one = torch.nn.Linear(2, 3)
    same = copy.deepcopy(one)
    assert difference(one, same) is None
    assert difference(one, copy.deepcopy(one).eval()) == "expected train mode, came eval mode"
    inside = torch.nn.Sequential(copy.deepcopy(one), torch.nn.Dropout())
    outside = copy.deepcopy(inside).eval()
    outside.training = True
    assert difference(inside, outside) == "at '0' expected train mode, came eval mode"
    frozen = copy.deepcopy(one)
    frozen.bias.requires_grad_(False)
    assert "'bias' expected 'requires_grad True'" in difference(one, frozen)
    with torch.no_grad():
        same.bias[1] += 1
    assert difference(one, same).startswith("at 'bias' [1]")


def test_generators_are_compared_by_what_they_draw_next():
    one, same = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    assert difference(one, same) is None
    torch.rand(1, generator=same)
    assert difference(one, same) is not None


def test_what_was_expected_can_be_kept_secret():
    for expected, came in ((5, 6), ([1], [1, 2]), (torch.ones(2), torch.zeros(2)), ("a", None)):
        assert "expected" not in difference(expected, came, reveal=False)


# -- what a check says


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


EXERCISE = Exercise("doubled", "02_attention", 1, 5, doubled, cases, mistakes=(squared, crashing))


def wrong(function, exercise=EXERCISE):
    """The message for a function that does not pass."""
    verdict = judge(exercise, function)
    assert verdict.done and not verdict.passed
    assert "Traceback" not in str(verdict) and ".py" not in str(verdict)
    assert str(verdict).startswith("✗ doubled: ")
    return verdict.message


def test_a_right_function_passes():
    assert str(judge(EXERCISE, lambda n: [x + x for x in n])) == "✓ doubled: right in all 2 cases"
    assert judge(EXERCISE, lambda n: (x + x for x in n)).passed  # an iterator of the same


def test_a_known_mistake_is_named_and_an_unknown_one_is_not():
    message = wrong(lambda numbers: [n * n for n in numbers])
    assert message == (
        "wrong in 1 of 2 cases. The first:\n"
        "  the result: at [0] expected 2, came 1 (case: three numbers)\n"
        "  This looks like squares."
    )
    assert "looks like" not in wrong(lambda numbers: [n**3 for n in numbers])


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
    exercise = Exercise("f", "02_attention", 1, 5, letter("a" * 10), places, mistakes)
    message = judge(exercise, letter(answers)).message
    expected = [] if named is None else [f"Known mistake {named}."]
    assert [line.strip() for line in message.splitlines() if "Known" in line] == expected


def test_an_error_alone_is_no_known_mistake_unless_its_words_agree():
    assert wrong(lambda numbers: {}["a"]).endswith(sentence(crashing))
    assert "looks like" not in wrong(lambda numbers: {}["b"])


def test_a_function_that_returns_nothing_is_asked_for_its_return():
    assert "came None (is the return missing?)" in wrong(lambda numbers: None)


def test_an_iterator_that_never_ends_is_cut():
    assert "10,000" in wrong(lambda numbers: itertools.count())


def test_a_changed_input_is_found():
    def in_place(numbers):
        numbers[:] = [2 * number for number in numbers]
        return list(numbers)

    assert "numbers, after the call: at [0] expected 1, came 2" in wrong(in_place)
    assert judge(EXERCISE, doubled).passed  # and harms nobody afterwards


def test_prints_are_let_through(capsys):
    assert judge(EXERCISE, lambda numbers: print("here") or doubled(numbers)).passed
    assert capsys.readouterr().out == "here\nhere\n"


@pytest.mark.parametrize("function", [lambda: 1, lambda a, b: 1])
def test_the_wrong_number_of_arguments_is_a_named_error(function):
    assert "TypeError: " in wrong(function) and "positional argument" in wrong(function)


@pytest.mark.parametrize("thing", [None, 3, doubled([1]), torch.ones(2), "doubled"])
def test_what_is_no_function_is_asked_for(thing):
    assert "give the function itself" in wrong(thing)


class Doubler:
    def __call__(self, numbers):
        return doubled(numbers)


def test_callable_objects_methods_and_classes_are_tried():
    assert judge(EXERCISE, Doubler()).passed
    assert judge(EXERCISE, Doubler().__call__).passed
    assert judge(EXERCISE, functools.partial(doubled)).passed
    assert "expected []" in wrong(Setting.__class__)


def cell(source, number, names):
    """Run a notebook's cell as a kernel does: each one is a file by itself."""
    exec(compile(source, f"kernel/{number}.py", "exec"), names)


HELPER = "\n\n\n\n\n\n\ndef helper():\n    raise ValueError('no')\n"
RAISES = {
    "def my(numbers):\n    a = 1\n    raise ValueError('no')": 3,
    "def my(numbers):\n    raise ValueError('no')\n    yield 1": 2,
    "def my(numbers):\n    return helper()": 2,
    "def inner():\n    raise ValueError('no')\ndef my(numbers):\n    inner()": 2,
    "import torch\n@torch.no_grad()\ndef my(numbers):\n    raise ValueError('no')": 4,
    "class My:\n    def __call__(self, numbers):\n        raise ValueError('no')\nmy = My()": 3,
    "class my:\n    def __init__(self, numbers):\n        raise ValueError('no')": 3,
    "import torch\nclass M(torch.nn.Module):\n    def forward(self, n):\n"
    "        raise ValueError('no')\nmy = M()": 4,
}


@pytest.mark.parametrize(("source", "line"), RAISES.items())
def test_an_error_is_told_with_the_line_of_the_learners_own_cell(source, line):
    names = {"__name__": "__main__"}
    cell(HELPER, 1, names)
    cell(source, 2, names)
    assert f"  ValueError in line {line} of your cell: no (case" in wrong(names["my"])


def test_an_error_in_a_library_is_told_with_the_line_that_called_it():
    names = {"__name__": "__main__"}
    cell("import torch\n\ndef my(numbers):\n    return torch.nn.Linear(2, 3)(None)", 1, names)
    assert "TypeError in line 4 of your cell" in wrong(names["my"])


def test_exits_and_errors_without_words_are_told():
    def leaves(numbers):
        raise SystemExit

    def asserts(numbers):
        raise AssertionError

    assert "SystemExit in line" in wrong(leaves)
    assert "of your cell (case" in wrong(asserts)


def test_an_error_that_was_expected_is_compared_by_its_class():
    def first(numbers):
        return numbers.index(7)

    exercise = Exercise("doubled", "02_attention", 1, 5, first, cases, mistakes=())
    assert judge(exercise, lambda numbers: numbers.index(8)).passed
    assert "expected the error ValueError, came no error" in wrong(lambda n: 1, exercise)
    assert "expected the error ValueError, came KeyError" in wrong(lambda n: {}["a"], exercise)


def interrupted(numbers):
    raise KeyboardInterrupt


def test_ctrl_c_stops_a_check():
    with pytest.raises(KeyboardInterrupt):
        judge(EXERCISE, interrupted)


def test_a_check_that_runs_on_says_so_once_and_ends_as_ever(capsys, monkeypatch):
    monkeypatch.setattr(exercise_file, "PATIENCE", 0.05)
    check.merge_heads(lambda *_: time.sleep(0.1) or 1)
    assert "still running" not in capsys.readouterr().out  # outputs that are compared stay quiet
    monkeypatch.setattr("gptlib.environment.quiet", lambda: False)
    check.merge_heads(lambda *_: time.sleep(0.1) or 1)
    first, second = capsys.readouterr().out.split("\n", 1)
    assert first == (
        "· merge_heads: still running: a loop that never ends? stop with ■ (Interrupt)"
    )
    assert second.startswith("✗ merge_heads: wrong") and "still running" not in second
    monkeypatch.setattr(exercise_file, "PATIENCE", 60)
    check.merge_heads(len)
    assert "still running" not in capsys.readouterr().out
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


def stub(numbers):
    raise NotImplementedError("not done yet")


def half_done(numbers):
    if numbers:
        raise NotImplementedError
    return []


def lazy_stub(numbers):
    yield 2
    raise NotImplementedError("not done yet")


@pytest.mark.parametrize("function", [stub, half_done, lazy_stub])
def test_a_stub_is_not_done_yet(function):
    assert str(judge(EXERCISE, function)) == "· doubled: not done yet"


def test_what_torch_has_not_implemented_is_an_error():
    assert "NotImplementedError in line" in wrong(lambda n: torch.tensor([1]).softmax(dim=0))


# -- what a check leaves alone


def draws(numbers):
    return [random.random(), torch.rand(1), float(np.random.rand())]


def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def made_by_chance():
    yield Case("a layer", (torch.nn.Linear(2, 3).weight.tolist(),))


def test_a_check_draws_the_same_each_time_and_nothing_that_others_draw():
    seed_all(1)
    following = draws([])
    seed_all(1)
    exercise = Exercise("doubled", "02_attention", 1, 5, draws, made_by_chance, mistakes=(squared,))
    assert judge(exercise, draws).passed
    wrong(lambda numbers: [*draws(numbers), torch.rand(2)], exercise)
    assert draws([]) == following


def test_what_is_seen_does_not_hang_on_what_was_drawn_before():
    exercise = Exercise("doubled", "02_attention", 1, 5, draws, made_by_chance, mistakes=())
    seed_all(1)
    seen = [list(outcomes(exercise, draws))]
    seed_all(2)
    seen.append(list(outcomes(exercise, draws)))
    assert difference(*seen) is None


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_the_checks_of_the_course_draw_nothing_that_others_draw(exercise):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    judge(exercise, lambda *arguments: None)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_a_check_computes_in_one_thread_and_gives_the_others_back():
    def threads(numbers):
        return torch.get_num_threads()

    before = torch.get_num_threads()
    exercise = Exercise("doubled", "02_attention", 1, 5, lambda numbers: 1, cases, mistakes=())
    assert judge(exercise, threads).passed
    with pytest.raises(KeyboardInterrupt):
        judge(exercise, interrupted)
    assert torch.get_num_threads() == before


def test_gradients_that_a_function_switches_off_are_on_again_after_its_call():
    def switched(numbers):
        was_on = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        return was_on

    exercise = Exercise("doubled", "02_attention", 1, 5, lambda numbers: True, cases, mistakes=())
    assert judge(exercise, switched).passed  # in every case, so in the first and in the next
    assert torch.is_grad_enabled()


def test_the_name_hash_is_the_notebooks_own_again():
    source = {}
    exec("def order(n, seed, epoch, start):\n    return iter([hash('a') % n])", source)
    assert not judge(EXERCISES["epoch_order"], source["order"]).passed
    assert "hash" not in source


# -- how it is called


def test_a_check_is_found_by_its_name(capsys):
    check.causal_weights(stub)
    message = capsys.readouterr().out
    assert message.startswith("✗ causal_weights: wrong") and "TypeError" in message


def test_an_unknown_name_suggests_the_near_one():
    with pytest.raises(AttributeError, match=r"did you mean check\.causal_weights\?"):
        _ = check.causal_weight
    with pytest.raises(AttributeError, match="did you mean"):
        _ = check.my_causal_weights
    with pytest.raises(AttributeError, match=r"'zzz'$"):
        _ = check.zzz
    assert not hasattr(check, "_repr_html_")


def test_every_exercise_is_offered_for_completion():
    assert set(dir(check)) == set(EXERCISES) and "causal_weights" in dir(check)
