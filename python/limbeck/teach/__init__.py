"""Teachers that are models: rationales of questions, and samples of ready prompts."""

from limbeck.teach.prompts import Prompt, read_prompts
from limbeck.teach.rationales import Taught, estimate, teach
from limbeck.teach.samples import Sampled, estimate_samples, sample

__all__ = [
    "Prompt",
    "Sampled",
    "Taught",
    "estimate",
    "estimate_samples",
    "read_prompts",
    "sample",
    "teach",
]
