"""Learned trust: what a trusted image looks like here (docs/adr/0016-learned-trust.md)."""
