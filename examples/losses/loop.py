"""The losses in a plain PyTorch loop: a student that forgets which domain a token came from."""

import torch

from limbeck_kernels import distillation_head

torch.manual_seed(0)
body = torch.nn.Sequential(torch.nn.Embedding(64, 32), torch.nn.Linear(32, 32), torch.nn.GELU())
head, domains = torch.nn.Linear(32, 64), torch.nn.Linear(32, 2)
parameters = [*body.parameters(), *head.parameters(), *domains.parameters()]
optimizer = torch.optim.AdamW(parameters, lr=1e-2)
tokens = torch.randint(0, 64, (8, 17))
source = torch.arange(8).repeat_interleave(16) % 2  # the domain of every token
for step in range(20):
    states, labels = body(tokens[:, :-1]), tokens[:, 1:]
    losses = distillation_head(
        states,
        cross_entropy={
            "head_weight": head.weight,
            "bias": head.bias,
            "labels": labels,
            "weights": torch.ones(labels.shape),
        },
        domain={
            "weight": domains.weight,
            "bias": domains.bias,
            "domains": source,
            "strength": min(1.0, step / 10),  # λ grows: the classifier learns first
        },
    )
    (losses.cross_entropy + losses.domain).backward()
    optimizer.step()
    optimizer.zero_grad()
print(f"cross-entropy {losses.cross_entropy.item():.3f}, domain {losses.domain.item():.3f}")
