"""The losses in TRL's SFTTrainer: its collator and masks, only completions through the head."""

import tempfile

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from limbeck_kernels import selected_cross_entropy


class SelectedSFTTrainer(SFTTrainer):
    """Never computes the logits of a prompt."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return Σ nll / tokens of the completions in the whole step."""
        body = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            output_hidden_states=True, logits_to_keep=1,
        )  # fmt: skip
        following = torch.nn.functional.pad(inputs["labels"][:, 1:], (0, 1), value=-100)
        loss = selected_cross_entropy(
            body.hidden_states[-1], model.lm_head.weight, following,
            weights=(following != -100).float(), normalizer=num_items_in_batch,
        )  # fmt: skip
        return (loss, body) if return_outputs else loss


torch.manual_seed(0)
digits = {"<pad>": 0, "<eos>": 1} | {str(i): i + 2 for i in range(32)}
words = Tokenizer(models.WordLevel(digits))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<pad>"
)
config = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=2,
)  # fmt: skip
data = Dataset.from_list(
    [{"prompt": f"{i} {i + 1}", "completion": f" {i + 2} {i + 3}"} for i in range(16)]
)
with tempfile.TemporaryDirectory() as folder:
    arguments = SFTConfig(
        folder, max_steps=10, report_to=[], save_strategy="no", learning_rate=1e-2, bf16=False,
        use_cpu=not torch.cuda.is_available(), disable_tqdm=True,
    )  # fmt: skip
    trainer = SelectedSFTTrainer(
        LlamaForCausalLM(config), arguments, train_dataset=data, processing_class=tokenizer
    )
    print(f"loss {trainer.train().training_loss:.3f}")
