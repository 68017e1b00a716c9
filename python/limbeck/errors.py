"""The one exception that means: the user can mend this."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """The user's input or settings are at fault: place, problem and remedy in one line.

    The Rust core raises it too. The command line prints it and exits with 2.
    """
