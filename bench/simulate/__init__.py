"""Replicas and load to latency, spill and spend, by simulation: from one machine to thousands of GPUs."""
