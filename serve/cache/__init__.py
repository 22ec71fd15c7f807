"""Exact-match response cache: a key that opted in gets an answer again to the same deterministic request."""
