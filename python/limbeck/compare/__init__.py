"""Compare methods: arms × seeds, each a run of its own, and what may be concluded from them.

    limbeck compare comparison.yaml

A comparison is a recipe whose `method` is replaced by `methods`, a list of arms, and by `seeds`.
"""

from limbeck.compare.schedule import compare

__all__ = ["compare"]
