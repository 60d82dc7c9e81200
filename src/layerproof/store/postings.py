"""Postings as bytes: which entries hold which values, for one range of values.

A row is zstd of: the number of distinct values (uint32) · the low 32 bits of these values,
ascending · how many entries hold each · the entries' numbers, value by value, ascending. All
numbers are little-endian uint32. A damaged row raises DamagedRowError.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from layerproof.store.codec import decoding

LOW = 0xFFFFFFFF
_NONE = memoryview(b"").cast("I")

# By value (32 bits), the numbers of the entries that hold it, as a row has them.
Postings = dict[int, bytes]


def pack(values: Sequence[int], postings: Postings) -> bytes:
    """The row for these values (ascending), which are among the postings."""
    from layerproof.oci.zstd import pack as compressed  # because reading needs no encoder

    numbers = [postings[value] for value in values]
    columns = (
        array("I", [len(values)]),
        array("I", [value & LOW for value in values]),
        array("I", [len(some) // 4 for some in numbers]),
    )
    return compressed(b"".join([*map(little, columns), *numbers]), 1)


def find(row: bytes, value: int) -> "memoryview[int]":
    """The entries that hold the value, ascending."""
    with decoding("row of search postings"):
        values, counts, numbers = _columns(row)
        place = bisect_left(values, value)
        if place == len(values) or values[place] != value:
            return _NONE
        start = sum(counts[:place])
        return numbers[start : start + counts[place]]


def add(to: Postings, row: bytes, first: int, last: int) -> int:
    """Append the row's postings of values from `first` to `last`; how many these were."""
    with decoding("row of search postings"):
        values, counts, numbers = _columns(row)
        low, high = bisect_left(values, first), bisect_left(values, last + 1)
        start = at = 4 * sum(counts[:low])
        data = little(numbers)
        for value, count in zip(values[low:high], counts[low:high], strict=True):
            end = at + 4 * count
            to[value] = to[value] + data[at:end] if value in to else data[at:end]
            at = end
        return (at - start) // 4


def add_entry(to: Postings, number: int, hashes: bytes) -> None:
    """Append an entry that holds these values (a filter: sorted little-endian uint32)."""
    data = number.to_bytes(4, "little")
    with decoding("search filter of a layer"):
        for value in numbers_of(hashes):
            to[value] = to[value] + data if value in to else data


def without(postings: Postings, gone: "set[int]") -> Postings:
    """The postings of all other entries."""
    kept = {}
    for value, numbers in postings.items():
        some = little(array("I", (n for n in numbers_of(numbers) if n not in gone)))
        if some:
            kept[value] = some
    return kept


def entries_of(postings: Postings) -> "set[int]":
    """Every entry that is named."""
    return set(numbers_of(b"".join(postings.values())))


def holding(value: int, filters: Iterable[tuple[int, bytes]]) -> "list[int]":
    """The numbers whose filter holds the value."""
    found = []
    with decoding("search filter of a layer"):
        for number, data in filters:
            hashes = numbers_of(data)
            place = bisect_left(hashes, value)
            if place < len(hashes) and hashes[place] == value:
                found.append(number)
    return found


def numbers_of(data: bytes) -> "memoryview[int]":
    """Little-endian uint32 as numbers."""
    if sys.byteorder == "big":  # pragma: no cover
        swapped = array("I", data)
        swapped.byteswap()
        return memoryview(swapped)
    return memoryview(data).cast("I")


def little(numbers: "array[int] | memoryview[int]") -> bytes:
    """Numbers as little-endian uint32."""
    if sys.byteorder == "big":  # pragma: no cover
        numbers = array("I", numbers)
        numbers.byteswap()
    return numbers.tobytes()


def _columns(row: bytes) -> "tuple[memoryview[int], memoryview[int], memoryview[int]]":
    from layerproof.oci.zstd import ZstdError, unpack

    try:
        numbers = numbers_of(unpack(row))
    except ZstdError as error:
        raise ValueError(str(error)) from error
    count = numbers[0]
    values, counts, rest = numbers[1 : 1 + count], numbers[1 + count : 1 + 2 * count], 1 + 2 * count
    if len(counts) != count or sum(counts) != len(numbers) - rest:
        raise ValueError("columns of different length")
    return values, counts, numbers[rest:]
