"""Exercise 8.1: between how many tokens a model wavered, over a text read in windows."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gptcourse.exercises.exercise import Case, Exercise

Windows = list[Tensor]  # of each, −ln p of its tokens


def perplexity(windows: Windows, overlap: int) -> float:
    """e to the mean of all tokens' nats; a later window's first `overlap` tokens are not new."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return math.exp(torch.cat(new).double().mean())


def cases() -> Iterator[Case]:
    """Windows of several lengths and overlaps, and numbers that can be checked by hand."""
    two, four, eight = math.log(2), math.log(4), math.log(8)
    by_hand = [torch.tensor([two, four]), torch.tensor([eight, eight])]
    yield Case("ln 2, ln 4 and ln 8, ln 8, overlap 1", (by_hand, 1))
    yield Case("every token certain", ([torch.zeros(3), torch.zeros(2)], 1))
    yield Case("one token", ([torch.tensor([two])], 0))
    yield Case("one token impossible", ([torch.tensor([two, math.inf]), torch.ones(2)], 1))
    generator = torch.Generator().manual_seed(0)
    for lengths, overlap in (((7,), 0), ((6, 4), 0), ((5, 5, 3), 2), ((8, 8, 8, 5), 4)):
        windows = [3 * torch.rand(length, generator=generator) for length in lengths]
        yield Case(
            f"windows of {', '.join(map(str, lengths))}, overlap {overlap}", (windows, overlap)
        )


def base_two(windows: Windows, overlap: int) -> float:
    """This looks like 2 to the mean: the mean is in nats, and their base is e."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return float(2 ** torch.cat(new).mean())


def no_power(windows: Windows, overlap: int) -> float:
    """This looks like the mean loss in nats: the last step, from nats to a number of tokens, is
    missing."""
    return math.log(perplexity(windows, overlap))


def powers_first(windows: Windows, overlap: int) -> float:
    """This looks like the mean of each token's own perplexity: the mean has to come first."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return float(torch.cat(new).exp().mean())


def sum_of_all(windows: Windows, overlap: int) -> float:
    """This looks like e to the sum: it grows with the length of the text."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return float(torch.cat(new).sum().exp())


def counted_twice(windows: Windows, overlap: int) -> float:
    """This looks like counting twice the tokens that stand in two windows."""
    return float(torch.cat(windows).mean().exp())


def first_cut_too(windows: Windows, overlap: int) -> float:
    """This looks like dropping the overlap from the first window too, where all tokens are new."""
    return float(torch.cat([window[overlap:] for window in windows]).mean().exp())


def later_score(windows: Windows, overlap: int) -> float:
    """This looks like keeping the second score of a token that stands in two windows: there it
    had less text before it."""
    kept = [window[: len(window) - overlap] for window in windows[:-1]]
    return float(torch.cat([*kept, windows[-1]]).mean().exp())


def mean_of_means(windows: Windows, overlap: int) -> float:
    """This looks like a mean of the windows' means: a short window then counts as much as a long
    one."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return float(torch.stack([window.mean() for window in new]).mean().exp())


def mean_of_perplexities(windows: Windows, overlap: int) -> float:
    """This looks like a perplexity for each window, and their mean."""
    new = [windows[0], *(window[overlap:] for window in windows[1:])]
    return sum(math.exp(window.mean()) for window in new) / len(new)


def added_up(windows: Windows, overlap: int) -> float:
    """The same in a loop over single tokens."""
    total, count = 0.0, 0
    for number, window in enumerate(windows):
        for position, nats in enumerate(window.tolist()):
            if number == 0 or position >= overlap:
                total += nats
                count += 1
    return math.exp(total / count)


def by_probabilities(windows: Windows, overlap: int) -> Tensor:
    """One over the geometric mean of the probabilities."""
    new = torch.cat([window[overlap * (i > 0) :] for i, window in enumerate(windows)])
    return (-new).exp().double().prod() ** (-1 / len(new))


EXERCISE = Exercise(
    name="perplexity",
    notebook="08_openai_weights",
    rating=1,
    minutes=15,
    right=perplexity,
    cases=cases,
    mistakes=(
        base_two,
        no_power,
        powers_first,
        sum_of_all,
        counted_twice,
        first_cut_too,
        later_score,
        mean_of_means,
        mean_of_perplexities,
    ),
    also_right=(added_up, by_probabilities),
)
