"""Numbers for Prometheus: counted in each Router, merged over all of them, shown at `/metrics`."""
