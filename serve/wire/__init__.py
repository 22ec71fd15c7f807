"""Wire models: pydantic where bytes come in or go out, one file per dialect."""
