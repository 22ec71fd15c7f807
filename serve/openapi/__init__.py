"""The OpenAPI document of the HTTP surface: what may be sent, what comes back, and every status in use."""
