"""The exceptions that mean something to the user: this can be mended, this can be continued."""

from __future__ import annotations

__all__ = ["InputError", "UnfinishedError"]


class InputError(ValueError):
    """The user's input or settings are at fault: place, problem and remedy in one line.

    The Rust core raises it too. The command line prints it and exits with 2.
    """


class UnfinishedError(RuntimeError):
    """The work stopped short and goes on when it is run again; says why, and what that needs.

    What was done stands. The command line prints it and exits with 1.
    """
