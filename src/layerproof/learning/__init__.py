"""Learned trust: what a trusted image looks like here (docs/adr/0017-learned-trust.md)."""
