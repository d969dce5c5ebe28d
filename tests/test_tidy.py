"""The house rules that a machine can check (CONTRIBUTING.md)."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
ROOMS = (
    "core",
    "protos",
    "zoo",
    "frontend",
    "backend",
    "scheduler",
    "profiler",
    "client",
    "simulator",
    "deploy",
    "demo",
    "drawing",
)
BANNED_STEMS = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)$")
PRIVATE_WORDS = re.compile(r"(?<![\w.])/(?:work|root|home/\w+)/")


def tracked_files() -> list[Path]:
    """Files under version control; without git (an sdist), every file."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


FILES = tracked_files()
PYTHON = [
    path
    for path in FILES
    if path.suffix == ".py" and not re.search(r"_pb2(_grpc)?\.py$", path.name)
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_tidy_python_file_keeps_the_limits(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), f"{name_of(path)} has no module docstring"
    assert text.count("\n") <= FILE_LINES_MAX, f"{name_of(path)} is over {FILE_LINES_MAX} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{name_of(path)}:{node.name} is {lines} lines"


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_tidy_module_name_is_a_noun_of_the_domain(path: Path) -> None:
    assert not BANNED_STEMS.search(path.stem), f"{name_of(path)}: say what it holds"


def test_tidy_namespace_has_no_init_file() -> None:
    assert [name_of(path) for path in ROOT.glob("*/nexus/__init__.py")] == []


@pytest.mark.parametrize("room", ROOMS)
def test_tidy_room_has_a_readme_and_is_on_the_map(room: str) -> None:
    assert (ROOT / room / "README.md").is_file(), f"{room}/README.md is missing"
    assert f"`{room}/`" in (ROOT / "ARCHITECTURE.md").read_text()


def test_tidy_no_path_of_a_private_machine() -> None:
    texts = (
        path for path in FILES if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".sh"}
    )
    found = [name_of(path) for path in texts if PRIVATE_WORDS.search(path.read_text())]
    assert found == []


def test_tidy_adr_numbers_are_unique() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")]
    assert len(numbers) == len(set(numbers)), sorted(numbers)


def test_tidy_architecture_names_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|md|yaml|proto))", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_tidy_life_of_a_request_names_real_functions() -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## 6. Life of a request")[2]
    rows = re.findall(r"^\| \d+ \| (.+?) \|", section, flags=re.MULTILINE)
    assert len(rows) > 10
    missing = [word for row in rows for word in unknown_words(row)]
    assert missing == []


def unknown_words(row: str) -> list[str]:
    """Names in backticks that the file named before them does not define."""
    folder, text, unknown = ROOT, "", list[str]()
    for word in re.findall(r"`([\w./]+)`", row):
        if word.endswith(".py"):
            path = ROOT / word if "/" in word else folder / word
            folder, text = path.parent, path.read_text()
            continue
        for name in word.split("."):
            if not re.search(rf"\b(def|class) {name}\b", text):
                unknown.append(word)
    return unknown
