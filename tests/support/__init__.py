"""What tests share: waiting for conditions, a cluster, the search for leaked keys, the rule about skipping."""
