"""The built-in task heads, one file each."""
