"""Deleting what is old: events and verdicts by their time; images with all that only they
hold.

Contents are deleted only together with the last layer that used them: contents that no layer uses
may be those of an image that is being indexed right now.
"""

from collections.abc import Collection, Iterator
from datetime import datetime

from layerproof.model.retention import Pruned, Retention
from layerproof.store import codec, counter_rows, segment_rows
from layerproof.store.executor import Executor, Session, chunks, rows_for

_IMAGES_AT_ONCE = 200  # one transaction: other writers wait for it
_ROWS_AT_ONCE = 5000  # likewise


def prune(executor: Executor, kept: Retention) -> Pruned:
    """See `engine.ports.Index.prune`."""
    events = _drop(executor, "drop_events", kept.events)
    verdicts = _drop(executor, "drop_verdicts", kept.verdicts)
    images = layers = 0
    for count, lone in _images(executor, kept.images):
        images, layers = images + count, layers + lone
    if layers:
        segment_rows.rewrite_thin(executor)
    return Pruned(events, verdicts, images, layers)


def _drop(executor: Executor, statement: str, before: datetime | None) -> int:
    if before is None:
        return 0
    dropped = 0
    while True:
        with executor.write() as session:
            some = session.run(statement, before=codec.micros(before), limit=_ROWS_AT_ONCE)
        dropped += some
        if some < _ROWS_AT_ONCE:
            return dropped


def _images(executor: Executor, before: datetime | None) -> Iterator[tuple[int, int]]:
    if before is None:
        return
    moment = codec.micros(before)
    with executor.read() as session:
        old = [key for (key,) in session.rows("old_images", before=moment)]
    for some in chunks(old, _IMAGES_AT_ONCE):
        with executor.write() as session:
            # Again, because one of them may have been seen or used in the meantime.
            still = {key for (key,) in rows_for(session, "old_images_of", some, before=moment)}
            going = [key for key in some if key in still]
            yield len(going), _drop_images(session, going)


def _drop_images(session: Session, keys: Collection[int]) -> int:
    layers = [key for (key,) in rows_for(session, "layers_of_images", keys)]
    _run(session, "drop_images", keys)
    lone: dict[int, bytes] = dict(rows_for(session, "lone_layers", layers))
    _run(session, "drop_layers", lone)
    contents = [found for (found,) in rows_for(session, "lone_contents", lone.values())]
    _run(session, "drop_contents_of", contents)
    _run(session, "drop_blobs_of", contents)
    counter_rows.change_state(session)
    return len(lone)


def _run(session: Session, statement: str, keys: Collection[object]) -> None:
    for some in chunks(keys):
        session.run(statement, keys=some)
