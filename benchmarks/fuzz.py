"""Feeds thousands of corrupt payloads through parsing, normalisation and both stores.

    python benchmarks/fuzz.py                       # 21,000 of them
    python benchmarks/fuzz.py --examples 100000

Nothing may crash, each good post beside a corrupt one must be in both stores, and everything corrupt must be set aside.
tests/support/fuzzing.py generates the payloads and checks the results. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs from anywhere

from benchmarks.tools import postgres  # noqa: E402
from tests.support.fuzzing import Trial, fuzz  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--examples", type=int, default=21_000)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, postgres(Path(name) / "pg") as server:
        trial = Trial(Path(name) / "data", server.new_database("fuzz"))
        while trial.examples < options.examples:
            fuzz(trial, max(1, min((options.examples - trial.examples) // 4 + 1, 500)))
            print(f"{trial.examples:,} payloads, {len(trial.good):,} good posts", flush=True)
        trial.close()
        result = {"examples": trial.examples, "good_posts": len(trial.good), "quarantined": trial.quarantined}
    print(json.dumps({**result, "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
