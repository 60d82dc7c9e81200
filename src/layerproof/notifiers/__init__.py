"""Ways to tell people: one file each, `engine.notices.Notifier`."""
