"""How an upstream is called, and how its answers are read."""
