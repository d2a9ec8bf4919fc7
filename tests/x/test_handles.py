"""Handles files are streams."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.x.handles import Handles, handles_of


class Stats:
    def inc_value(self, key: str) -> None:
        pass


async def read(handles: Handles) -> int:
    return sum([len(chunk) async for chunk in handles.chunks()])


def test_a_long_file_is_not_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "handle.txt"
    with file.open("w") as stream:
        stream.writelines(f"@user_{number}\n" for number in range(200_000))
    tracemalloc.start()
    try:
        assert asyncio.run(read(Handles(str(file), Stats()))) == 200_000  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # bytes; the file has three million


@pytest.mark.parametrize(
    "line, handles, odd",
    [
        ("a b", ["a", "b"], []),
        ("GardenRed RiverRed", ["GardenRed", "RiverRed"], []),
        ("@nasa # x", ["nasa"], []),
        ('"nasa",', ["nasa"], []),
        ("https://x.com/nasa?s=20", ["nasa"], []),
        ("http://www.twitter.com/nasa/", ["nasa"], []),
        ("mobile.twitter.com/nasa/status/5", ["nasa"], []),
        ("https://x.com/i/user/783214", ["id:783214"], []),
        ("https://x.com/search?q=nasa", [], ["https://x.com/search?q=nasa"]),
        ("https://example.org/nasa", [], ["https://example.org/nasa"]),
        ("783214", [], ["783214"]),  # a number, or a name?
        ("@783214", ["783214"], []),
        ("id:783214", ["id:783214"], []),
        ("id:nasa", [], ["id:nasa"]),
        ("# nobody", [], []),
    ],
)
def test_a_line(line: str, handles: list[str], odd: list[str]) -> None:
    assert handles_of(line) == (handles, odd)


@pytest.mark.parametrize(
    "content, handles",
    [
        ("id,username\n5,nasa\n6,esa\n", ["id:5", "id:6"]),
        ("name,handle\nNASA,@nasa\n", ["nasa"]),
        ("nasa\nesa\n", ["nasa", "esa"]),
    ],
)
def test_a_csv_file_with_a_column_of_accounts(tmp_path: Path, content: str, handles: list[str]) -> None:
    (tmp_path / "accounts.csv").write_text(content)
    assert list(Handles(str(tmp_path / "accounts.csv"), Stats())._valid()) == handles  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"\n# nobody\n", b"no-handle\n", b"\xff\xfe\n"])
def test_files_without_a_handle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "handle.txt").write_bytes(content)
    with pytest.raises(UserError, match="handles="):
        asyncio.run(read(Handles(str(tmp_path / "handle.txt"), Stats())))  # type: ignore[arg-type]
