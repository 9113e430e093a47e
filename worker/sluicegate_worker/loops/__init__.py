"""Background loops, one a file, each with one verb."""
