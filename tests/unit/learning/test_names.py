"""Names count in relation to names: one slip apart, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerproof.learning.names import Neighbours, one_slip, shape

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("library/nginx", "library/nginxx"),
        ("library/nginx", "library/ngnix"),
        ("library/nginx", "1ibrary/nginx"),
        ("library/nginx", "librarynginx"),
        ("team/my-app", "team/myapp"),
        ("team/my-app", "team/my_a-pp"),
    ],
)
def test_names_a_slip_apart(a: str, b: str) -> None:
    assert one_slip(a, b)
    assert one_slip(b, a)


@pytest.mark.parametrize(("a", "b"), [("nginx", "nginx"), ("nginx", "apache"), ("abcd", "badc")])
def test_names_that_are_not(a: str, b: str) -> None:
    assert not one_slip(a, b)


@given(st.text("abc-", min_size=4, max_size=9), st.text("abc-", min_size=4, max_size=9))
def test_the_look_up_finds_what_comparing_finds(known: str, asked: str) -> None:
    names = Neighbours()
    names.add(known)
    assert bool(names.near(asked)) == one_slip(known, asked)


@given(st.text(LETTERS, min_size=4, max_size=9), st.text(LETTERS, min_size=4, max_size=9))
def test_renaming_alike_changes_nothing(a: str, b: str) -> None:
    table = str.maketrans(LETTERS, LETTERS[5:] + LETTERS[:5])
    assert one_slip(a, b) == one_slip(a.translate(table), b.translate(table))


def test_a_known_name_is_near_to_nothing() -> None:
    names = Neighbours()
    for name in ("team/app1", "team/app2"):
        names.add(name)
    assert names.near("team/app1") == ""
    assert names.near("team/app3") != ""


def test_the_form_of_a_tag() -> None:
    assert shape("12.4-slim") == shape("3.11-slim") == "0.0-slim"
    assert shape("latest") != shape("1.0")
