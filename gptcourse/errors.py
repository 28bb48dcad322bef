"""Errors of the course's own tools."""

from gptlib.errors import GPTLibError


class CourseError(GPTLibError):
    """A notebook, an exercise, a submission or this machine is not as the course needs it."""
