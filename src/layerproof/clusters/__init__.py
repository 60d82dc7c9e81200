"""Clusters' own APIs."""
