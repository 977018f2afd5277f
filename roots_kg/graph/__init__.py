"""The knowledge graph: reading, vectors, ranking, linking and retrieval."""
