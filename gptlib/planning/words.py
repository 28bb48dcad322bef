"""A plan's numbers as words: written out, with as many digits as they deserve."""

UNITS = (("hour", 3_600), ("minute", 60), ("second", 1))  # the largest first


def amount(value: float) -> str:
    """A number above 0 with three digits that count, or its whole part where it is longer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def counted(number: int, name: str) -> str:
    """How many there are, such as ``1 step`` or ``4,748 steps``."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def duration(seconds: float) -> tuple[str, str]:
    """A time as a number and its unit, such as ``("1.5", "minutes")``."""
    unit, length = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    number = amount(seconds / length)
    return number, unit if number == "1" else f"{unit}s"
