"""Preambles: what local lanes are told before the conversation, by the type of the task. Cloud lanes never are."""
