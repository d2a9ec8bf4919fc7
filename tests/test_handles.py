"""Handles files are streams."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from chancrawl.errors import UserError
from chancrawl.handles import Handles, handle_of


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


@pytest.mark.parametrize("line", ["a b", "nasa", "@nasa # x", "https://x.com/nasa/", '"nasa",'])
def test_lines_that_name_somebody(line: str) -> None:
    assert handle_of(line) in ("a", "nasa")


@pytest.mark.parametrize("content", [b"", b"\n# nobody\n", b"no-handle\n", b"\xff\xfe\n"])
def test_files_without_a_handle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "handle.txt").write_bytes(content)
    with pytest.raises(UserError, match="handles="):
        asyncio.run(read(Handles(str(tmp_path / "handle.txt"), Stats())))  # type: ignore[arg-type]
