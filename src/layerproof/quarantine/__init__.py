"""Where pulled layers are kept for inspection."""
