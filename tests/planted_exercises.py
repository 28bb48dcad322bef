"""Three small exercises, for tests of the tools around exercises."""

from gptcourse.exercises.exercise import Case, Exercise


def cases():
    for numbers in ([1, 2, 3], [], [5], [-2, 7]):
        yield Case(f"{len(numbers)} numbers", (list(numbers),))


def doubled(numbers):
    return [2 * number for number in numbers]


def squared(numbers):
    """This looks like squares."""
    return [number**2 for number in numbers]


def total(numbers):
    return sum(numbers)


def without_last(numbers):
    """This looks like a sum that leaves out the last number."""
    result = 0
    for number in numbers[:-1]:  # every number
        result += number
    return result
    # the sum of all


def backwards(numbers):
    return numbers[::-1]


def in_place(numbers):
    """This looks like turning the caller's own list round."""
    numbers.reverse()
    return numbers


def exercise(name, right, mistake, given=None):
    return Exercise(
        name=name,
        notebook="81_planted",
        right=right,
        cases=cases,
        mistakes=(mistake,),
        also_right=(lambda numbers: right(numbers),),
        given=given,
    )


EXERCISES = {
    each.name: each
    for each in (
        exercise("doubled", doubled, squared),
        exercise("total", total, without_last, given=without_last),
        exercise("backwards", backwards, in_place),
    )
}
