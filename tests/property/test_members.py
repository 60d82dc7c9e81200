"""The outer tar reader against GNU tar's twin in the standard library, and against noise."""

import contextlib
import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from layerproof.errors import LimitExceededError, TarError
from layerproof.oci.limits import Limits
from layerproof.sources._members import StreamInput, normalise, scan

LIMITS = Limits()
names = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=120
).filter(lambda name: name not in (".", ".."))
formats = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def scanned(data: bytes, size: int) -> list[tuple[str, bytes]]:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    source = StreamInput(pieces, "doc")
    return [
        (member.name, b"".join(source.contents(member.size)))
        for member in scan(source, where="doc", limits=LIMITS)
    ]


def packed(files: dict[str, bytes], form: int) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


@given(st.dictionaries(names, st.binary(max_size=2000)), formats, st.integers(1, 5000))
def test_what_tarfile_packs_is_read_back(files: dict[str, bytes], form: int, size: int) -> None:
    assert scanned(packed(files, form), size) == list(files.items())


@given(
    st.dictionaries(names, st.binary(max_size=700), min_size=1, max_size=3),
    formats,
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), max_size=4),
    st.integers(0, 8000),
)
def test_damage_gives_the_named_errors_only(
    files: dict[str, bytes], form: int, flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(packed(files, form))
    for position, value in flips:
        data[position % len(data)] = value
    with contextlib.suppress(TarError, LimitExceededError):
        scanned(bytes(data[:cut]), 512)


@given(st.binary(max_size=3000))
def test_noise_gives_the_named_errors_only(data: bytes) -> None:
    with contextlib.suppress(TarError, LimitExceededError):
        scanned(data, 100)


@given(st.text(alphabet="./a", max_size=20), st.booleans())
def test_normal_names_are_normal_and_never_climb(name: str, climb: bool) -> None:
    clean = normalise(name, climb=climb)
    assert clean is None or (
        normalise(clean) == clean and ".." not in clean.split("/") and not clean.startswith("/")
    )
