"""Request targets, byte ranges and entity tags: values or WireError, whatever the bytes."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.errors import WireError
from bootstrapd.wire.http import Selection, Target, matches, read_range, read_target, select

parts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\")).filter(
    lambda part: part not in ("", ".", "..")
)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/boot.ipxe", "boot.ipxe"),
        ("/sbtr//grubx64.efi", "sbtr/grubx64.efi"),
        ("//nbp///x.efi", "nbp/x.efi"),
        ("/./a/./b/", "a/b"),
        ("/", ""),
        ("/boot/52%3A54%3a00:aa:bb:01.ipxe", "boot/52:54:00:aa:bb:01.ipxe"),
        ("http://10.77.0.2/boot.ipxe", "boot.ipxe"),
        ("HTTP://10.77.0.2:8080", ""),
        ("/a%2Fb", "a/b"),
        ("/a...b/..c", "a...b/..c"),
        ("/%252e%252e/x", "%2e%2e/x"),
    ],
)
def test_one_path_one_name(raw: str, path: str) -> None:
    """H7: normalised here, never by a redirect."""
    assert read_target(raw).path == path


@pytest.mark.parametrize(
    "raw",
    [
        "/../etc/passwd",
        "/a/../../b",
        "/%2e%2e/etc/passwd",
        "/a/%2E./b",
        "/a%2f..%2fb",
        "/a%00.efi",
        "/..%5cboot.ini",
        "/a\\b",
        "/a%0d%0ab",
        "/%ff%fe",
        "*",
        "boot.ipxe",
        "",
        "/\udcff",
        "/x?" + "&".join("a=1" for _ in range(40)),
    ],
)
def test_paths_that_are_refused(raw: str) -> None:
    with pytest.raises(WireError):
        read_target(raw)


def test_the_query_of_the_stub() -> None:
    target = read_target("/boot/52-54-00-aa-bb-01.ipxe?uuid=1-2&serial=A%20B%2f7&secureboot=&arch=x86_64")
    assert target.query == {"uuid": "1-2", "serial": "A B/7", "secureboot": "", "arch": "x86_64"}


@given(st.lists(parts, max_size=4))
def test_a_quoted_path_comes_out_as_it_was(names: list[str]) -> None:
    assert read_target("/" + "/".join(quote(name, safe="") for name in names)) == Target("/".join(names))


@given(st.text(max_size=60))
def test_any_text_gives_a_safe_path_or_a_wire_error(raw: str) -> None:
    with suppress(WireError):
        path = read_target(raw).path
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert "\0" not in path


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-", range(100)),
        ("bytes=10-19", range(10, 20)),
        ("bytes=90-1000", range(90, 100)),
        ("Bytes=5-5", range(5, 6)),
        ("bytes=-7", range(93, 100)),
        ("bytes=-1000", range(100)),
        ("bytes=100-", range(100, 100)),
        ("bytes=-0", range(100, 100)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=1-2", None),
        ("", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_ranges(header: str, wanted: range | None) -> None:
    assert read_range(header, 100) == wanted


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 10**12))
def test_any_range_stays_inside_the_file(header: str, size: int) -> None:
    wanted = read_range(header, size)
    if wanted:
        assert wanted.start >= 0
        assert wanted.stop <= size


@pytest.mark.parametrize("header", ['"abc"', '"x", "abc"', 'W/"abc"', "*", ' "y" ,"abc" '])
def test_tags_that_match(header: str) -> None:
    assert matches(header, '"abc"')


@pytest.mark.parametrize("header", ["", '"ab"', "abc", '"abcd", "x"', 'W/"x"'])
def test_tags_that_do_not(header: str) -> None:
    assert not matches(header, '"abc"')


TAG = '"abc"'


@pytest.mark.parametrize(
    ("method", "headers", "wanted"),
    [
        ("GET", {}, Selection(200, range(100))),
        ("HEAD", {}, Selection(200, range(100))),
        ("GET", {"Range": "bytes=10-"}, Selection(206, range(10, 100))),
        ("GET", {"Range": "bytes=0-"}, Selection(206, range(100))),
        ("HEAD", {"Range": "bytes=10-"}, Selection(200, range(100))),
        ("GET", {"Range": "bytes=100-"}, Selection(416)),
        ("GET", {"Range": "bytes=1-2,4-5"}, Selection(200, range(100))),
        ("GET", {"Range": "bytes=10-", "If-Range": TAG}, Selection(206, range(10, 100))),
        ("GET", {"Range": "bytes=10-", "If-Range": '"old"'}, Selection(200, range(100))),
        ("GET", {"Range": "bytes=10-", "If-Range": "W/" + TAG}, Selection(200, range(100))),
        ("GET", {"Range": "bytes=10-", "If-None-Match": TAG}, Selection(304)),
        ("HEAD", {"If-None-Match": '"old", W/"abc"'}, Selection(304)),
    ],
)
def test_what_of_a_file_is_sent(method: str, headers: dict[str, str], wanted: Selection) -> None:
    assert select(method, headers, 100, TAG) == wanted


def test_an_empty_file_has_no_ranges() -> None:
    assert select("GET", {}, 0, TAG) == Selection(200, range(0))
    assert select("GET", {"Range": "bytes=0-"}, 0, TAG) == Selection(416)
