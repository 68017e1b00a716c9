"""Fused training losses, each beside its definition in plain PyTorch."""
