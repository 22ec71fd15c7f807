"""Load on any OpenAI-compatible server: closed loop, or open loop at a rate or at the times of a recorded trace."""
