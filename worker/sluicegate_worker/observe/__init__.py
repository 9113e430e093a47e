"""Looking without touching: what status, the lists and the live views show."""
