"""The ledger: what answers cost, what may still be spent, and the record of both. Money is integer micro-dollars."""
