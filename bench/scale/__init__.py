"""`scripts/bench scale`: what a request costs with few dispatchers and with many."""
