"""Tasks of induction, generated or of a file: a hidden rule, demonstrations of it, queries."""

from limbeck.tasks.induction.acre import Acre
from limbeck.tasks.induction.base import Induction
from limbeck.tasks.induction.list_functions import ListFunctions
from limbeck.tasks.induction.miniscan import MiniScan
from limbeck.tasks.induction.one_d_arc import OneDArc
from limbeck.tasks.induction.public import InductionFile

__all__ = ["Acre", "Induction", "InductionFile", "ListFunctions", "MiniScan", "OneDArc"]
