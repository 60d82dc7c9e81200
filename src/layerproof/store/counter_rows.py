"""Numbers that only grow: a reader that finds the same number finds the same rows.

A number is taken from the clock, so that an index that was restored from a backup never comes to a
number that it had before with other contents; where a clock stands or goes back, one is added.
"""

import time

from layerproof.store.executor import Session, first

STATE = "state"  # of all that verdicts depend on
ACCESS = "access"  # of tokens, policies, exceptions


def change_state(session: Session) -> None:
    """Verdicts that were made before are to be looked at again."""
    change(session, STATE)


def state(session: Session) -> str:
    """See `engine.ports.Index.state`."""
    return read(session, STATE)


def change(session: Session, name: str) -> None:
    """Let the number grow. It is the last thing that a transaction does."""
    session.run("count_up", name=name, value=time.time_ns() // 1000)


def read(session: Session, name: str) -> str:
    """The number, as text; "0" if nothing has changed yet."""
    row = first(session.rows("counted", name=name))
    return "0" if row is None else str(row[0])
