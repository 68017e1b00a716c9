"""Training losses of reasoning distillation, each beside its definition in plain PyTorch.

Nothing here knows limbeck or transformers: `torch` is the only dependency, Triton is used where
it is.
"""

from limbeck_kernels.alignment import semantic_alignment_loss
from limbeck_kernels.cross_entropy import selected_cross_entropy
from limbeck_kernels.domain import domain_adversarial_loss
from limbeck_kernels.head import DistillationLosses, distillation_head
from limbeck_kernels.reversal import reversed_linear

__all__ = [
    "DistillationLosses",
    "distillation_head",
    "domain_adversarial_loss",
    "reversed_linear",
    "selected_cross_entropy",
    "semantic_alignment_loss",
]
