"""What the generation head is made of: triples as text, names that are copied, and the writing itself."""
