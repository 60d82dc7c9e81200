"""Places where a decision bites."""
