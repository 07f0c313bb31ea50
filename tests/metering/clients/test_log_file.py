from __future__ import annotations

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from metering.clients.log_file import beginning, is_read_to_end, read_chunk
from metering.domain.file_position import FilePosition


def drain(path: Path, after: FilePosition | None = None) -> tuple[list[bytes], FilePosition | None]:
    lines: list[bytes] = []
    while (chunk := read_chunk(path, after)) is not None:
        lines += chunk.lines
        after = chunk.position
    return lines, after


def settle(*paths: Path) -> None:
    """Nobody has written to them for a while; the first is the oldest."""
    for number, path in enumerate(paths):
        os.utime(path, (time.time() - 60 + number, time.time() - 60 + number))


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_it_reads_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    assert drain(path) == ([], None)  # not there yet
    path.write_bytes(b"1\n2\n\n")
    lines, after = drain(path)
    assert lines == [b"1", b"2"]
    with path.open("ab") as file:
        file.write(b"3\n")
    assert drain(path, after)[0] == [b"3"]


def test_a_last_line_without_its_end_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    path.write_bytes(b'1\n{"half')
    lines, after = drain(path)
    assert lines == [b"1"]
    with path.open("ab") as file:
        file.write(b'":2}\n')
    assert drain(path, after)[0] == [b'{"half":2}']


def test_a_renamed_file_is_read_to_its_end_before_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    path.write_bytes(b"1\n2\n")
    _, after = drain(path)
    with path.open("ab") as still_open:
        path.rename(tmp_path / "kong.log.1")
        path.write_bytes(b"5\n")
        still_open.write(b"3\n4")
    lines, after = drain(path, after)
    assert lines == [b"3"]  # the writer may still be at it: what follows waits
    settle(tmp_path / "kong.log.1")
    lines, after = drain(path, after)
    assert lines == [b"4", b"5"]
    assert drain(path, after)[0] == []


def test_files_rotated_away_while_nobody_read_are_all_read_in_their_order(tmp_path: Path) -> None:
    path, newer, older, oldest = (tmp_path / f"kong.log{end}" for end in ("", ".1", ".2", ".3"))
    path.write_bytes(b"1\n2\n")
    _, after = drain(path)
    append(path, b"3\n")
    path.rename(older)
    newer.write_bytes(b"4\n5\n")
    path.write_bytes(b"6\n")
    oldest.write_bytes(b"from before\n")
    (tmp_path / "kong.log.4.gz").write_bytes(b"packed\n")
    settle(oldest, older, newer)
    lines, end = drain(path, after)
    assert lines == [b"3", b"4", b"5", b"6"]
    assert end is not None
    assert is_read_to_end(path, end)
    assert drain(path, beginning(path))[0] == [b"from before", b"1", b"2", b"3", b"4", b"5", b"6"]


def test_what_was_copied_away_and_truncated_unread_is_read_from_the_copy(tmp_path: Path) -> None:
    path, copy = tmp_path / "kong.log", tmp_path / "kong.log-20261128"
    path.write_bytes(b"1\n2\n")
    _, after = drain(path)
    append(path, b"3\n4\n")
    copy.write_bytes(path.read_bytes())
    os.truncate(path, 0)
    settle(copy)
    lines, between = drain(path, after)
    assert lines == [b"3", b"4"]
    append(path, b"5\n" * 9)  # longer than what was read before
    assert drain(path, between)[0] == [b"5"] * 9
    assert drain(path, after)[0] == [b"3", b"4", *[b"5"] * 9]  # all of it at one time


def test_entries_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    path, alike = tmp_path / "kong.log", b'{"service":{"host":"%b"},"id":' % (b"x" * 1000)
    path.write_bytes(alike + b'"1"}\n')
    _, after = drain(path)
    path.write_bytes(alike + b'"2"}\n' + alike + b'"3"}\n')
    assert [line[-4:] for line in drain(path, after)[0]] == [b'"2"}', b'"3"}']


def test_the_end_is_reached_when_nothing_follows_anywhere(tmp_path: Path) -> None:
    path, older = tmp_path / "kong.log", tmp_path / "kong.log.1"
    assert beginning(path) is None
    path.write_bytes(b"")
    start = beginning(path)
    assert start is not None
    assert is_read_to_end(path, start)
    append(path, b"1\n2")
    assert not is_read_to_end(path, start)
    _, end = drain(path, start)
    assert end is not None
    assert is_read_to_end(path, end)
    path.rename(older)
    assert not is_read_to_end(path, end)  # the writer may still be at it
    settle(older)
    _, end = drain(path, end)
    assert end is not None
    assert is_read_to_end(path, end)  # nothing was logged since
    path.write_bytes(b"3\n")
    assert not is_read_to_end(path, end)
    _, end = drain(path, end)
    path.unlink()
    older.unlink()
    assert end is not None
    assert not is_read_to_end(path, end)  # a disk that is away holds who knows what


def test_a_truncated_file_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    path.write_bytes(b"1\n2\n")
    _, after = drain(path)
    path.write_bytes(b"3\n")
    assert drain(path, after)[0] == [b"3"]


def test_a_file_truncated_and_grown_beyond_the_old_position_is_told_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    path.write_bytes(b"1\n2\n")
    _, after = drain(path)
    path.write_bytes(b"3\n4\n5\n6\n7\n")
    assert drain(path, after)[0] == [b"3", b"4", b"5", b"6", b"7"]


def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "kong.log"
    path.write_bytes(b"x" * 6_000_000 + b"\n1\n")
    lines, _ = drain(path)
    assert lines[-1] == b"1"
    assert max(len(line) for line in lines) <= 5_000_000


@given(st.lists(st.integers(0, 12), max_size=12))
def test_however_it_grows_every_line_comes_once_and_in_order(growth: list[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kong.log"
        content = b"".join(b"line %d\n" % n for n in range(20))
        written, after, seen = 0, None, []
        for size in growth:
            with path.open("ab") as file:
                file.write(content[written : written + size])
            written += size
            lines, after = drain(path, after)
            seen += lines
        whole = content[:written].rfind(b"\n") + 1
        assert seen == content[:whole].splitlines()
