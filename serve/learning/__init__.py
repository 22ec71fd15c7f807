"""Learning the routing table from outcomes: estimate, test, try on a share, keep, roll back."""
