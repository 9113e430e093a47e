"""`scripts/bench end-to-end`: calls over real HTTP, by a dispatcher and by the same client alone."""
