"""What Pointsman runs, pinned: weights, adapters and the scout."""
