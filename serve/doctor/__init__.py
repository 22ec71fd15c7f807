"""`pointsman doctor`: what is wrong with a machine, a running Pointsman or a cluster, and what to do about it."""
