"""Keys: who may call Pointsman, with which rights, and how much."""
