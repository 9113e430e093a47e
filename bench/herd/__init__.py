"""The herd, before and after: the same agents and the same provider, with different things between them."""
