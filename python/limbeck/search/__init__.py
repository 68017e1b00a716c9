"""Hypothesis search: rules are drawn, scored by the demonstrations, and the best one answers."""

from limbeck.search.backend import Backend, Usage, Written
from limbeck.search.search import Found, search
from limbeck.search.student import StudentBackend
from limbeck.search.teacher import ModelBackend

__all__ = [
    "Backend",
    "Found",
    "ModelBackend",
    "StudentBackend",
    "Usage",
    "Written",
    "search",
]
