"""What a router costs: Pointsman, the bare Ray Serve graph and other routers before one instant upstream."""
