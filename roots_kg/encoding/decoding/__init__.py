"""Decoding: from the logits of the next token to whole texts, by greedy choice, sampling, or beam search."""
