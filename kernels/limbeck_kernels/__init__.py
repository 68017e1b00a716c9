"""Training losses of reasoning distillation, each beside its definition in plain PyTorch.

Nothing here knows limbeck or transformers: `torch` is the only dependency.
"""

from limbeck_kernels.alignment import semantic_alignment_loss
from limbeck_kernels.cross_entropy import selected_cross_entropy

__all__ = ["selected_cross_entropy", "semantic_alignment_loss"]
