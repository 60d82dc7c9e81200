"""Query parameters that lists share."""

from typing import Annotated

from fastapi import Depends, Query

from layerproof.model.page import Cursor
from layerproof.server.problems import Problem

MOST = 500

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]


def _after(
    after: Annotated[
        str, Query(max_length=40, description="From the answer before: `after`.")
    ] = "",
) -> Cursor | None:
    if not after:
        return None
    try:
        return Cursor.parse(after)
    except ValueError as error:
        raise Problem(
            400,
            "bad-cursor",
            "this is not a cursor",
            where="after",
            remedy="take it from `after` of the answer before, as it is",
        ) from error


After = Annotated[Cursor | None, Depends(_after)]
