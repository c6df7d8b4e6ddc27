"""book/sources.md: every part of a source has its row, and every place that a row names exists."""

import json
import re

import pytest
from conftest import ROOT

PAGE = ROOT / "book" / "sources.md"
TUTORIAL, PAPER = "## The tutorial", "## The paper"
SECTIONS = {
    TUTORIAL: "1 2 3 3.1 3.2 3.3 3.4 3.5 4 4.1 4.1.1 4.1.2 4.1.3 4.2 4.2.1 4.2.2 4.2.3 4.2.4 5 5.1 5.2 5.3 6 7 8",
    PAPER: "1 2 2.1 2.2 3 3.1 3.2 3.3 4 5 6 7 8 9",
}
N_LISTINGS = {TUTORIAL: 43, PAPER: 0, "## The teaching module": 4, "## The lecture": 0, "## The seminar talk": 2}
N_FIGURES = {TUTORIAL: 53, PAPER: 9, "## The teaching module": 13, "## The lecture": 0, "## The seminar talk": 15}
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#([\w-]+))?\)")
REFERENCE = re.compile(r"\{(ref|numref)\}`(?:([^`<]+?)\s*<)?([\w-]+)>?`")
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.M)


def prose(path):
    """Return what is written on a page or in the markdown cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def figures(path):
    """Return the names of the figures that the code cells of a notebook draw."""
    if path.suffix != ".ipynb":
        return []
    shown = [
        cell["metadata"].get("mystnb", {}).get("figure", {}) for cell in json.loads(path.read_text("utf-8"))["cells"]
    ]
    return [figure["name"] for figure in shown if "name" in figure]


def anchors(path):
    headings = re.findall(r"^#{1,3} (.+)$", re.sub(r"^```.*?^```", "", prose(path), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def labels(root):
    """Return where each label is: {label: ["A3.4" or None, ...]}, one entry for each time that it is defined."""
    found = {}
    for path in [*(root / "notebooks").glob("**/*.ipynb"), *(root / "book").glob("*.md")]:
        audit = f"A{int(path.name[:2])}" if path.parent.name == "audit" else None
        for number, label in enumerate(LABEL.findall(prose(path)), start=1):
            found.setdefault(label, []).append(f"{audit}.{number}" if audit else None)
        for name in figures(path):
            found.setdefault(name, []).append("figure")
    return found


def wrong_places(text, root=ROOT):
    """Yield each place on the page that is not there, or is not what the page calls it."""
    for target, anchor in LINK.findall(text):
        path = (root / "book" / target).resolve()
        if not path.is_file():
            yield f"{target}: no such page"
        elif anchor and anchor not in anchors(path):
            yield f"{target}#{anchor}: no such heading"
    known = labels(root)
    for kind, name, label in REFERENCE.findall(text):
        defined = known.get(label, [])
        if len(defined) != 1:
            yield f"{label}: defined {len(defined)} times"
        elif (kind == "numref") != (defined[0] == "figure"):
            yield f"{label}: {kind} of a {defined[0]}"
        elif kind == "ref" and defined[0] and name != defined[0]:
            yield f"{label}: is {defined[0]}, called {name}"


def chapter(text, heading):
    return text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text):
    """Return the rows of all tables in the text: (part of the source, what it shows, place in the book)."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [row for row in found if not row[0].startswith(("---", "in the source"))]


def numbers(text, kind):
    """Return the numbers in rows that begin with "Figure 7", or "Figures 15 to 24"."""
    found = []
    for name, *_ in rows(text):
        match = re.match(rf"{kind}s? (\d+)(?: (?:to|and) (\d+))?$", name)
        if match:
            found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return found


def test_every_place_exists():
    assert list(wrong_places(PAGE.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_numbered_section_has_its_row(heading):
    names = [row[0] for row in rows(chapter(PAGE.read_text(encoding="utf-8"), heading))]
    assert [name.split()[1] for name in names if re.fullmatch(r"Section [\d.]+", name)] == SECTIONS[heading].split()


@pytest.mark.parametrize("heading", N_FIGURES)
def test_every_listing_and_every_figure_has_its_row(heading):
    text = chapter(PAGE.read_text(encoding="utf-8"), heading)
    assert numbers(text, "Listing") == list(range(1, N_LISTINGS[heading] + 1))
    assert numbers(text, "Figure") == list(range(1, N_FIGURES[heading] + 1))


def test_every_row_says_what_it_shows_and_where_it_went():
    for row in rows(PAGE.read_text(encoding="utf-8")):
        assert len(row) == 3, row
        assert 5 <= len(re.findall(r"[\w'-]+", row[1])) <= 12, row
        place = LINK.search(row[2]) or REFERENCE.search(row[2]) or "{term}" in row[2]
        assert place or re.fullmatch(r"left out: \w+", row[2]), row


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("[lesson 3](../notebooks/03_saliency.ipynb)", "no such page"),
        ("[the doubts](../notebooks/03_one.ipynb#no-such-thing)", "no such heading"),
        ("{ref}`A3.1 <a03-nowhere>`", "defined 0 times"),
        ("{ref}`A3.1 <a03-twice>`", "defined 2 times"),
        ("{ref}`A3.2 <a03-first>`", "is A3.1, called A3.2"),
        ("{numref}`a03-first`", "numref of a A3.1"),
        ("{numref}`fig-03-none`", "defined 0 times"),
    ],
)
def test_a_wrong_place_is_noticed(tmp_path, planted, said):
    def notebook(*texts):
        cells = [{"cell_type": "markdown", "metadata": {}, "source": [text]} for text in texts]
        drawn = {"cell_type": "code", "metadata": {"mystnb": {"figure": {"name": "fig-03-map"}}}, "source": []}
        return json.dumps({"cells": [*cells, drawn] if "# One" in texts else cells})

    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks" / "audit").mkdir(parents=True)
    (tmp_path / "notebooks" / "03_one.ipynb").write_text(notebook("# One", "## Doubt it: why?"))
    audit = ["(a03-first)=\n## First", "(a03-twice)=\n## Second", "(a03-twice)=\n## Third"]
    (tmp_path / "notebooks" / "audit" / "03_one.ipynb").write_text(notebook(*audit))
    sound = "[3](../notebooks/03_one.ipynb#doubt-it-why), {ref}`A3.1 <a03-first>`, {numref}`fig-03-map`"
    assert list(wrong_places(sound, tmp_path)) == []
    (problem,) = wrong_places(f"{sound}, {planted}", tmp_path)
    assert said in problem


def test_a_missing_figure_is_noticed():
    text = "| Figure 1 | a | b |\n| Figures 3 to 5 | a | b |\n| Figures 6 and 7 | a | b |\n| Figure 8, again | a | b |"
    assert numbers(text, "Figure") == [1, 3, 4, 5, 6, 7]
