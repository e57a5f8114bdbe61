"""The operators' port: liveness, readiness, metrics."""
