"""Replay of known outcomes as a drifting stream: what learning the routing table is worth."""
