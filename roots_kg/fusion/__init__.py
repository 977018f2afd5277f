"""Layer 2: letting the graph into the text, token by token."""
