"""What tests share: waiting for conditions, the search for leaked keys, the rule about skipping."""
