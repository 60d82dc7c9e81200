"""Feeds: where advisories come from, and the file that they are kept in."""
