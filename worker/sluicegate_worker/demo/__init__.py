"""The demo and load: agents, traces, an embedded server, a report of what became of it all."""
