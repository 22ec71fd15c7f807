"""Places that can answer: one file per upstream dialect."""
