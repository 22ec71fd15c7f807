"""What a policy allows, says and would change: check, explain, test, diff. Runs no lane."""
