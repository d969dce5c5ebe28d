"""``python -m nexus.simulator.experiments FOLDER``: write the paper's scenarios as files."""

import sys
from pathlib import Path

from nexus.simulator.experiments.paper_files import write_paper_files

if __name__ == "__main__":
    if len(sys.argv) != len(("program", "folder")):
        sys.exit("usage: python -m nexus.simulator.experiments FOLDER")
    write_paper_files(Path(sys.argv[1]))
