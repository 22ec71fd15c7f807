"""Faults injected into a real Pointsman under a steady load from the official SDK: `make chaos`."""
