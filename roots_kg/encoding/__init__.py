"""Layer 1: text to vectors."""
