"""What became of every decision: one row each, what callers say of the answers, and what a success costs."""
