"""``check.causal_weights(my_causal_weights)``: what the notebooks call."""

from difflib import get_close_matches
from typing import Any

from gptcourse.exercises.catalogue import EXERCISES
from gptcourse.exercises.exercise import stoppable
from gptcourse.exercises.verdict import judge


class Checks:
    """One attribute for each exercise: a function that tries the learner's and prints a verdict."""

    def __getattr__(self, name: str) -> Any:
        """Return the check of the exercise `name`."""
        exercise = EXERCISES.get(name)
        if exercise is None:
            near = get_close_matches(name, EXERCISES, n=1)
            hint = f": did you mean check.{near[0]}?" if near else ""
            raise AttributeError(f"there is no check named {name!r}{hint}")

        def try_it(yours: Any) -> None:
            with stoppable(name, yours):
                print(judge(exercise, yours))

        return try_it

    def __dir__(self) -> list[str]:
        """Every exercise, for completion with the Tab key."""
        return list(EXERCISES)


check = Checks()
