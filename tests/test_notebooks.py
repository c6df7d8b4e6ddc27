"""House rules that a machine can check. That the notebooks run is nbval's part: see testpaths in pyproject.toml."""

import ast
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import execute

NOTEBOOKS = execute.notebooks(ROOT)
AUDITS = [path for path in NOTEBOOKS if path.parent.name == "audit"]
LESSONS = [path for path in NOTEBOOKS if path not in AUDITS]
PAGES = NOTEBOOKS + sorted((ROOT / "book").glob("*.md"))
DRAWS = re.compile(r"\bplots\.[a-z]\w*\(|\bplt\.[a-z]\w*\(|\bsns\.[a-z]\w*\(|\bvector\(")
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
MEASURED = re.compile(r"(?<![\w.])\d+\.\d{2,}|\d+(?:\.\d+)? ?%")


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def code(path):
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def prose(path):
    """Return the text of a page that people read, captions included."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    texts = [source(cell) for cell in cells(path) if cell["cell_type"] == "markdown"]
    texts += [figure(cell).get("caption", "") for cell in code(path)]
    return "\n\n".join(texts)


def figure(cell):
    return cell["metadata"].get("mystnb", {}).get("figure", {})


def in_notebooks(test):
    return pytest.mark.parametrize("path", NOTEBOOKS, ids=execute.name_of)(test)


def on_pages(test):
    return pytest.mark.parametrize("path", PAGES, ids=execute.name_of)(test)


def test_every_lesson_has_its_audit():
    assert LESSONS
    assert [path.name for path in LESSONS] == [path.name for path in AUDITS]


@in_notebooks
def test_outputs_are_kept_where_they_are_checked_and_nowhere_else(path):
    for cell in code(path):
        kept = tags(cell) & {"keep_output", "nbval-check-output"}
        assert len(kept) in (0, 2), f"{cell['id']}: the two tags go together"
        assert bool(cell["outputs"]) == bool(kept), f"{cell['id']}: stray or missing output (make outputs)"
        assert cell["execution_count"] == (1 if kept else None), f"{cell['id']}: stray count (make outputs)"
        for output in cell["outputs"]:
            assert output["output_type"] == "stream", f"{cell['id']}: keep small texts only"


@in_notebooks
def test_nbstripout_would_change_nothing(path):
    subprocess.run([sys.executable, "-m", "nbstripout", "--keep-id", "--keep-count", "--verify", str(path)], check=True)


@in_notebooks
def test_cells_are_short(path):
    for cell in code(path):
        lines = [line for line in source(cell).splitlines() if line.strip()]
        assert len(lines) <= 30, f"{cell['id']} has {len(lines)} lines"


@in_notebooks
def test_every_figure_has_caption_name_and_alt_text(path):
    names = []
    for cell in code(path):
        if DRAWS.search(source(cell)):
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(figure(cell).get("caption", "")) > 40, f"{cell['id']} draws without a caption"
            assert 40 < len(alt) <= 250, f"{cell['id']} needs alt text of up to 250 characters"
            assert alt not in figure(cell)["caption"], f"{cell['id']}: alt text says what is there, not the caption"
            names.append(figure(cell)["name"])
        else:
            assert not figure(cell), f"{cell['id']} has a caption and draws nothing"
    assert len(names) == len(set(names))


@on_pages
def test_citations_resolve(path):
    known = set(re.findall(r"^@\w+\{(.+),$", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M))
    cited = {key.strip() for keys in CITATION.findall(prose(path)) for key in keys.split(",")}
    assert cited <= known, cited - known


def test_every_reference_is_cited_somewhere():
    known = re.findall(r"^@\w+\{(.+),$", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.M)
    cited = {key.strip() for page in PAGES for keys in CITATION.findall(prose(page)) for key in keys.split(",")}
    assert sorted(known) == known, "keep references.bib in order"
    assert set(known) == cited


def tracked():
    """Return the files of the project: those that git knows, or in a copy without git all but what make creates."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [ROOT / name for name in listing.splitlines() if (ROOT / name).exists()]
    made = {"_build", ".venv", "build", "interp_helpers.egg-info", "__pycache__"}
    made |= {".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not made & set(path.relative_to(ROOT).parts)]


def test_no_absolute_paths_and_no_private_folder():
    private = re.compile(r"(?<![\w.])/(home|Users|root|work|mnt)/\w|[A-Z]:\\\\|\.\./shared")
    for path in tracked():
        binary = path.suffix in {".keras", ".npz", ".txt"}
        if binary or ROOT / ".ci" in path.parents or path.name == "test_notebooks.py":
            continue
        found = private.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found.group()}"


def test_the_repository_is_light():
    sizes = {path.relative_to(ROOT): path.stat().st_size for path in tracked()}
    assert sum(sizes.values()) < 80e6
    assert max(sizes.values()) < 9e6
    arrays = [path for path in sizes if path.suffix == ".npz" and path.parts[:2] != ("tests", "oracles")]
    assert not arrays
    assert not [path for path in sizes if path.suffix in {".png", ".jpg", ".gif", ".svg", ".pkl", ".h5"}]


@on_pages
def test_ace_is_spelled_out_at_first_use(path):
    text = prose(path)
    first = re.search(r"\bACE\b", text)
    if first:
        around = text[max(0, first.start() - 120) : first.end() + 120].lower()
        assert "alternating conditional expectations" in around


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, ROOT / "book" / "index.md", ROOT / "book" / "how_to_use.md"], ids=execute.name_of
)
def test_measured_numbers_are_not_typed(path):
    """Numbers with two decimals or in per cent come from glue.

    Not measured are 95 %, the level of an interval, and 0.005, the step that the tutorial chose.
    """
    typed = [number for number in MEASURED.findall(prose(path)) if number not in {"95 %", "0.005"}]
    assert not typed, typed


@in_notebooks
def test_prose_and_code_agree_on_glued_names(path):
    used = set(re.findall(r"\{glue:text\}`([^`]+)`", prose(path)))
    calls = [
        node
        for cell in code(path)
        if "glue(" in source(cell)
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "glue"
    ]
    glued = {keyword.arg for call in calls for keyword in call.keywords}
    assert used == glued, used ^ glued


@pytest.mark.parametrize("path", sorted((ROOT / "book" / "quizzes").glob("*.json")), ids=lambda p: p.stem)
def test_questions_give_feedback_on_every_answer(path):
    questions = json.loads(path.read_text(encoding="utf-8"))
    assert 3 <= len(questions) <= 4
    for question in questions:
        assert sum(answer["correct"] for answer in question["answers"]) == 1, question["question"]
        assert all(len(answer["feedback"]) > 20 for answer in question["answers"]), question["question"]


def test_badges_and_setup_cells_have_the_address_of_the_config():
    subprocess.run([sys.executable, "book/tools/links.py", "--check"], cwd=ROOT, check=True)


def test_links_check_notices_another_address(tmp_path):
    """The check above can fail: change the address in a copy of the project."""
    for name in ("_config.yml", "README.md", "book/index.md", "book/tools/links.py", *map(str, NOTEBOOKS)):
        target = tmp_path / (ROOT / name).relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    links = [sys.executable, "book/tools/links.py"]
    config = tmp_path / "_config.yml"
    config.write_text(config.read_text(encoding="utf-8").replace("REPOSITORY_OWNER", "somebody"), encoding="utf-8")
    failed = subprocess.run([*links, "--check"], cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "run make links" in failed.stderr
    subprocess.run(links, cwd=tmp_path, check=True)
    subprocess.run([*links, "--check"], cwd=tmp_path, check=True)
    for name in ("README.md", "book/index.md", *map(str, NOTEBOOKS)):
        assert "REPOSITORY_OWNER" not in (tmp_path / (ROOT / name).relative_to(ROOT)).read_text(encoding="utf-8"), name


def test_hooks_use_the_pinned_versions():
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.M))
    hooks = re.findall(r"\[\"?([\w-]+)==([\w.]+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert {name for name, _ in hooks} == {"ruff", "nbstripout", "codespell"}
    for name, version in hooks:
        assert pinned[name] == version
