"""Text that came from an image, made fit for a message.

Names, labels and paths are chosen by whoever built the image: control characters, terminal
escapes and bidirectional overrides never reach a terminal, and what looks like part of a command
is quoted as a shell reads it.
"""

PATH_SHOWN = 300  # characters of one path or claim that a message or evidence repeats


def show_path(path: bytes, limit: int = PATH_SHOWN) -> str:
    """A path of a layer as people write it: `/etc/shadow`; odd bytes as `\\xff`."""
    return show_text("/" + path.decode("utf-8", "backslashreplace"), limit)


def show_text(text: str, limit: int = PATH_SHOWN) -> str:
    """`text` on one line, every unprintable character escaped, cut at `limit` characters."""
    if len(text) > limit:
        text = text[:limit] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shell_word(text: str) -> str:
    """`text` as one word of a shell command that somebody may copy."""
    import shlex  # here: only findings need it, and start-up time is part of the product

    return shlex.quote(show_text(text, limit=1000))


def plural(count: int, noun: str) -> str:
    """`1 layer`, `2 layers`, `50,000 layers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
