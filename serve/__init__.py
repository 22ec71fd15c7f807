"""Pointsman: a hybrid LLM router that runs as one Ray Serve application."""

__version__ = "0.1.0"
