"""`scripts/bench throughput`: requests there and answers back, through us, other queues and hand-written floors."""
