"""What one engine can do on a machine without a GPU, one setting after another."""
