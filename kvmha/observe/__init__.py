"""Looking on: what the cluster is like, for people and for monitoring."""
