"""The scene of the HTTP tests: a local and a cloud upstream, and the real ingress between them."""

from tests.http.conftest import scene

__all__ = ["scene"]
