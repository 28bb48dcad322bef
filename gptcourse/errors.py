"""Errors of the course's own tools."""

from gptlib.errors import GPTLibError


class CourseError(GPTLibError):
    """A notebook, an exercise or a submission is not as the course needs it."""


class PackagesMissing(GPTLibError):
    """Packages that are needed, not here, and could not be installed."""
