"""What lanes thought and signed: a lane is given its own thoughts again, and nobody else is."""
