"""The Docker gate: an authorization plugin (docs/how-to/gate-docker.md)."""
