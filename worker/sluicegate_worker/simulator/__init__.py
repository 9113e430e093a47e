"""A provider to test against: a real HTTP server that speaks a provider's API, with limits and faults."""
