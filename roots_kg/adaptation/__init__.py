"""Layer 3: tasks, heads and few-shot adaptation."""
