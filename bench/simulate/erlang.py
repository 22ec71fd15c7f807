"""What theory says of c servers, random arrivals and random services (M/M/c). The simulation is checked against it."""


def waiting_probability(load: float, servers: int) -> float:
    """Erlang C: the probability that an arrival has to wait. `load`: arrivals a second by services a second.

    1.0 when the load is more than the servers can do.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0  # Erlang B by its recursion: no factorials, so no overflow
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    share = load / servers
    return blocked / (1 - share * (1 - blocked))


def mean_wait_s(rate: float, service_s: float, servers: int) -> float:
    """Seconds that an arrival waits on average; infinite when the load is more than the servers can do."""
    load = rate * service_s
    if load >= servers:
        return float("inf")
    return waiting_probability(load, servers) * service_s / (servers - load)
