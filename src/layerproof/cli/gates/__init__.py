"""One file per gate."""
