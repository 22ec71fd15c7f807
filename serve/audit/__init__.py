"""The audit log: what was decided about every request and what became of it, without a word of its content."""
