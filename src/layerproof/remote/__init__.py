"""A client of the service: the command line's, when it is told `--server`."""
