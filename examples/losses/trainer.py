"""The losses in transformers' Trainer: cross-entropy of answers, alignment of their last state."""

import tempfile

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments

from limbeck_kernels import distillation_head


class AlignedTrainer(Trainer):
    """Adds the distance of the last answer token's state to the state of a rationale."""

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        """Return cross-entropy + 0.5 · alignment, from one pass and one head."""
        states = model.model(input_ids=inputs["input_ids"]).last_hidden_state
        rows, width = inputs["labels"].shape
        following = torch.nn.functional.pad(inputs["labels"][:, 1:], (0, 1), value=-100)
        losses = distillation_head(
            states,
            cross_entropy={
                "head_weight": model.lm_head.weight,
                "labels": following,
                "weights": torch.ones_like(following, dtype=torch.float32),
            },
            alignment={
                "target": inputs["target"],
                "select": inputs["labels"] != -100,
                "cu_seqlens": torch.arange(rows + 1, device=states.device) * width,
                "pooling": "last",
            },
        )
        loss = losses.cross_entropy + 0.5 * losses.alignment
        return (loss, losses) if return_outputs else loss


torch.manual_seed(0)
config = Qwen2Config(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=False,
)  # fmt: skip
tokens = torch.randint(0, 64, (16, 12))
labels = tokens.masked_fill(torch.arange(12) < 4, -100)  # the question is not trained
data = [
    {"input_ids": t, "labels": a, "target": torch.randn(32)}
    for t, a in zip(tokens, labels, strict=True)
]
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, max_steps=10, report_to=[], save_strategy="no", remove_unused_columns=False,
        learning_rate=1e-2, use_cpu=not torch.cuda.is_available(), disable_tqdm=True,
    )  # fmt: skip
    trainer = AlignedTrainer(Qwen2ForCausalLM(config), arguments, train_dataset=data)
    print(f"loss {trainer.train().training_loss:.3f}")
