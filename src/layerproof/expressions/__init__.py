"""An operator's own conditions: CEL, with a bound on what evaluating them may cost."""
