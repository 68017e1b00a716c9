"""A run as one self-contained page: accuracy first, then what it cost and what went in.

    limbeck report out/demo

The page needs no network and no script. A stage that has not run is said to be missing.
"""

from limbeck.report.console import results_table
from limbeck.report.page import report

__all__ = ["report", "results_table"]
