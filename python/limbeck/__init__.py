"""Distil a large model's chain-of-thought reasoning into a small language model."""
