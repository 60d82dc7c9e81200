"""Searching sorted arrays of uint32, one per layer (docs/adr/0003)."""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from layerproof.store.codec import decoding
from layerproof.store.executor import Row


def holding(value: int, filters: Iterable[Row]) -> Iterator[int]:
    """The keys whose filter (little-endian, ascending) holds the value."""
    with decoding("search filter of a layer"):
        for key, data in filters:
            hashes = _numbers(data)
            place = bisect_left(hashes, value)
            if place < len(hashes) and hashes[place] == value:
                yield key


def _numbers(data: bytes) -> "memoryview[int]":
    if sys.byteorder == "big":
        swapped = array("I", data)
        swapped.byteswap()
        return memoryview(swapped)
    return memoryview(data).cast("I")
