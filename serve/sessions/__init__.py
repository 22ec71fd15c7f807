"""Sessions: a tool loop, or a session that a client names, stays on the lane that answered last."""
