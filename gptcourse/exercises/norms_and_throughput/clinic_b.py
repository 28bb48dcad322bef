"""Exercise 9.4, a clinic: a norm that is too long in a run whose loss is as it should be."""

from collections.abc import Iterator
from statistics import median

from gptcourse.exercises.clinic import OTHERWISE, cases_of, sparing
from gptcourse.exercises.exercise import Case, Exercise
from gptlib.training.metrics import Row, curve

CAUSE = "gradients summed"


def cases() -> Iterator[Case]:
    """The recorded runs, each beside the healthy one."""
    return cases_of("clinic-09")


def right(run: list[Row], healthy: list[Row]) -> str:
    """A norm far longer all the way, and a loss that is the same from the first step on."""
    longer = ratio(run, healthy, "gradient_norm") > 2
    return CAUSE if longer and abs(ratio(run, healthy, "loss") - 1) < 0.1 else OTHERWISE


def ratio(run: list[Row], healthy: list[Row], name: str) -> float:
    """The median of one curve's ratios, step by step."""
    pairs = zip(curve(run, name)[1], curve(healthy, name)[1], strict=True)
    return median(mine / its for mine, its in pairs)


def losses_summed(run: list[Row], healthy: list[Row]) -> str:
    """If the losses were summed, the loss would be four times the healthy one from the first step
    on; here the two loss curves are one."""
    return "losses summed"


def loss_halved(run: list[Row], healthy: list[Row]) -> str:
    """A loss that is halved in the log shows in the loss curve alone; here that one is sound, and
    the norm is not."""
    return "loss halved"


def norm_after_clipping(run: list[Row], healthy: list[Row]) -> str:
    """A norm that is logged after clipping is never above the limit of 1; here it is, in every
    step."""
    return "norm after clipping"


def no_warmup(run: list[Row], healthy: list[Row]) -> str:
    """Without warm-up the first norm is the healthy one, and the loss falls faster in the first
    steps; here the very first norm is off, and the loss is not."""
    return "no warm-up"


def frozen_order(run: list[Row], healthy: list[Row]) -> str:
    """A frozen order changes nothing before the second epoch; here the norm is off from the first
    step."""
    return "frozen order"


def tokens_miscounted(run: list[Row], healthy: list[Row]) -> str:
    """Miscounted tokens divide the tokens per second by four and nothing else; here the speed is
    sound, and the norm is not."""
    return "tokens miscounted"


def norm_alone(run: list[Row], healthy: list[Row]) -> str:
    """This looks like a rule on the norm alone: another fault lengthens it too, but does not leave
    the loss curve as it was."""
    return CAUSE if ratio(run, healthy, "gradient_norm") > 2 else OTHERWISE


def always(run: list[Row], healthy: list[Row]) -> str:
    """This names one cause whatever the curves show: a healthy run would be told the same. Let the
    numbers decide."""
    return CAUSE


def never(run: list[Row], healthy: list[Row]) -> str:
    """This finds the fault in no run. Compare the mean norm with the healthy one's."""
    return OTHERWISE


def loss_alone(run: list[Row], healthy: list[Row]) -> str:
    """This looks like a rule on the loss alone: a healthy run has such a loss as well."""
    return CAUSE if abs(ratio(run, healthy, "loss") - 1) < 0.1 else OTHERWISE


def every_step(run: list[Row], healthy: list[Row]) -> str:
    """This finds the fault in the run of the figure, not with another seed. Are your limits tight,
    or do they hold for every single step? Single steps differ much; compare means."""
    losses = zip(curve(run, "loss")[1], curve(healthy, "loss")[1], strict=True)
    near = all(abs(mine - its) < 0.1 for mine, its in losses)
    return right(run, healthy) if near else OTHERWISE


def other_named_too(run: list[Row], healthy: list[Row]) -> str:
    """Your rule finds the right runs, and in one of the others it names another fault. That is
    good medicine, but asked is "something else" wherever this run's fault is not."""
    summed = ratio(run, healthy, "loss") > 2
    return "losses summed" if summed else right(run, healthy)


OTHER_CAUSES = (
    losses_summed,
    loss_halved,
    norm_after_clipping,
    no_warmup,
    frozen_order,
    tokens_miscounted,
)


def first_step_alone(run: list[Row], healthy: list[Row]) -> str:
    """Before the first update only the fault and the seed differ."""
    first = {name: curve(run, name)[1][0] for name in ("loss", "gradient_norm")}
    sound = {name: curve(healthy, name)[1][0] for name in first}
    if first["gradient_norm"] < 2.5 * sound["gradient_norm"]:
        return "something else"
    return CAUSE if first["loss"] < 1.5 * sound["loss"] else "something else"


def never_near_the_healthy_norm(run: list[Row], healthy: list[Row]) -> str:
    """The shortest norm is above the longest healthy one, and the loss is never summed."""
    above = min(curve(run, "gradient_norm")[1]) > max(curve(healthy, "gradient_norm")[1])
    return CAUSE if above and max(curve(run, "loss")[1]) < 5 else OTHERWISE


EXERCISE = Exercise(
    name="clinic_b",
    notebook="09_gradient_norms_and_throughput",
    rating=3,
    minutes=20,
    right=right,
    cases=cases,
    mistakes=(
        *OTHER_CAUSES,
        always,
        never,
        norm_alone,
        loss_alone,
        every_step,
        other_named_too,
        *(sparing(wrong, right) for wrong in OTHER_CAUSES),
    ),
    also_right=(first_step_alone, never_near_the_healthy_norm),
    reveal=False,
)
