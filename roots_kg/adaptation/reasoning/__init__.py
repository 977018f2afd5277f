"""Multi-hop reasoning over the graph: choosing paths, following them, and completing what is missing."""
