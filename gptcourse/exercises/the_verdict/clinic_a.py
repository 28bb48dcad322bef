"""Exercise 5.4, a clinic: a run whose loss is too good."""

from collections.abc import Iterator

from gptcourse.exercises.clinic import OTHERWISE, cases_of, sparing
from gptcourse.exercises.exercise import Case, Exercise
from gptlib.training.metrics import Row, curve

CAUSE = "y = x"


def cases() -> Iterator[Case]:
    """The recorded runs, each beside the healthy one."""
    return cases_of("clinic-05")


def right(run: list[Row], healthy: list[Row]) -> str:
    """Less surprised than knowing nothing before the first update, in the end by nothing at all."""
    (first, *_), (sound, *_) = curve(run, "loss")[1], curve(healthy, "loss")[1]
    unseen = curve(run, "validation_loss")[1][-1]
    return CAUSE if first < sound - 0.3 and unseen < 0.2 else OTHERWISE


def one_batch(run: list[Row], healthy: list[Row]) -> str:
    """One batch in every step brings the training loss near 0 as well, but the validation loss
    would rise; here it falls with it."""
    return "one batch"


def future_visible(run: list[Row], healthy: list[Row]) -> str:
    """Whoever may see the future has yet to learn to look there: the first loss would be the
    healthy one; here it is lower before the first update."""
    return "future visible"


def loss_halved(run: list[Row], healthy: list[Row]) -> str:
    """A loss that is halved in the log stays half of the healthy one and leaves validation and
    norm alone; here all three go towards 0."""
    return "loss halved"


def validation_in_training(run: list[Row], healthy: list[Row]) -> str:
    """Held-out text that is trained on brings validation down to training; here it is the
    training loss itself that is too good."""
    return "validation in training"


def rate_too_high(run: list[Row], healthy: list[Row]) -> str:
    """A rate that is far too high leaves the loss near that of counting characters; here it falls
    to almost nothing."""
    return "rate too high"


def no_zero_grad(run: list[Row], healthy: list[Row]) -> str:
    """Gradients that are never cleared hold the loss above the healthy one; here it is far below,
    and the norm fades."""
    return "no zero_grad"


def training_loss_alone(run: list[Row], healthy: list[Row]) -> str:
    """This looks like a rule on the training loss alone: a model that has one batch by heart
    reaches almost 0 too. Look at another curve as well."""
    low = curve(run, "loss")[1][-1] < 0.5 * curve(healthy, "loss")[1][-1]
    return CAUSE if low else OTHERWISE


def always(run: list[Row], healthy: list[Row]) -> str:
    """This names one cause whatever the curves show: a healthy run would be told the same. Let the
    numbers decide."""
    return CAUSE


def never(run: list[Row], healthy: list[Row]) -> str:
    """This finds the fault in no run. Compare the first and the last losses with the healthy
    ones."""
    return OTHERWISE


OTHER_CAUSES = (
    one_batch,
    future_visible,
    loss_halved,
    validation_in_training,
    rate_too_high,
    no_zero_grad,
)


def before_the_first_update(run: list[Row], healthy: list[Row]) -> str:
    """The first look at held-out text tells all."""
    first, sound = (curve(rows, "validation_loss")[1][0] for rows in (run, healthy))
    return "y = x" if first < 0.95 * sound else "something else"


def too_good_on_unseen_text(run: list[Row], healthy: list[Row]) -> str:
    """No model predicts text that it never saw almost without surprise."""
    return CAUSE if min(curve(run, "validation_loss")[1]) < 0.5 else OTHERWISE


EXERCISE = Exercise(
    name="clinic_a",
    notebook="05_pretraining_the_verdict",
    rating=2,
    minutes=15,
    right=right,
    cases=cases,
    mistakes=(
        *OTHER_CAUSES,
        always,
        never,
        training_loss_alone,
        *(sparing(wrong, right) for wrong in OTHER_CAUSES),
    ),
    also_right=(before_the_first_update, too_good_on_unseen_text),
    reveal=False,
)
