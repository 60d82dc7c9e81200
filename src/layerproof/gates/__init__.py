"""Gates: the places where a decision bites."""
