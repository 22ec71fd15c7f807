"""OpenTelemetry traces of requests, through Serve's own exporter. Off unless it is configured."""
