"""``python -m benchmarks``: every benchmark of this folder, one after the other."""

import importlib
from pathlib import Path


def main() -> None:
    """Run the ``main`` of each module with no arguments; stop at the first that fails."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem == "__main__":
            continue
        print(f"== {path.stem}", flush=True)
        importlib.import_module(f"benchmarks.{path.stem}").main([])


if __name__ == "__main__":
    main()
