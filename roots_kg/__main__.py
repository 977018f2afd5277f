"""`python -m roots_kg` is the command `roots`."""

from roots_kg.cli import main

main()
