"""Training of learned trust: the extra `learn`. Verdicts never import it."""
