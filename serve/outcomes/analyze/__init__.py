"""What somebody else's log of requests would have cost here."""
