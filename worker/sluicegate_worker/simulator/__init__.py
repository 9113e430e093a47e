"""A provider to test against: a real HTTP server that speaks OpenAI's API, with limits and faults."""
