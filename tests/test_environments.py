"""Forty-two random environments around the README's first command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.environments import Environment, described


@pytest.mark.soak
@pytest.mark.parametrize("part", range(3))
def test_it_works_or_says_in_one_sentence_why_not(tmp_path: Path, part: int) -> None:
    wrong = []
    good = 0
    for seed in range(14 * part, 14 * part + 14):
        environment = Environment(tmp_path / str(seed), seed).make()
        code, output = environment.run()
        good += code == 0
        if problems := environment.problems(code, output):
            wrong.append(f"{problems}\n{described(environment)}\n{output[-1500:]}")
    assert not wrong, "\n\n".join(wrong)
    assert good >= 2, "some of them have to work"
