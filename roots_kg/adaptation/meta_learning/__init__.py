"""Learning to learn: episodes over many tasks, on feature vectors."""
