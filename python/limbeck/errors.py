"""The one exception that means: the user can mend this."""

from limbeck._native import InputError

__all__ = ["InputError"]
