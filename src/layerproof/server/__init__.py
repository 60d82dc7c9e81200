"""The service: the HTTP API, and the workers that do its jobs."""
