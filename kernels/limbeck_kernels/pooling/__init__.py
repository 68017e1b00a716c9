"""From token states to item states: every token, or one pooled state a segment.

A segment is a packed document; `cu_seqlens[s]` is the flat position of its first token.
See README.md beside this file.
"""

from limbeck_kernels.pooling.naive import POOLINGS, check_pooling, pool
from limbeck_kernels.pooling.op import pooled_states

__all__ = ["POOLINGS", "check_pooling", "pool", "pooled_states"]
