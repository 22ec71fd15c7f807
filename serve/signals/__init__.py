"""The judgements a decision rests on: one file, one signal."""
