"""Generated tasks of induction: a hidden rule, demonstrations of it, and queries."""

from limbeck.tasks.induction.acre import Acre
from limbeck.tasks.induction.base import Induction
from limbeck.tasks.induction.list_functions import ListFunctions
from limbeck.tasks.induction.miniscan import MiniScan
from limbeck.tasks.induction.one_d_arc import OneDArc

__all__ = ["Acre", "Induction", "ListFunctions", "MiniScan", "OneDArc"]
