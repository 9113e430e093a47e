"""How many replicas a pool wants: decided here, asked for by KEDA over gRPC or by anybody as JSON."""
