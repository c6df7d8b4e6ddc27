"""What a lesson and an audit are, as far as a machine can tell (the last tests plant what it must find)."""

import re

import pytest
from conftest import ROOT
from test_notebooks import AUDITS, LESSONS, cells, code, figure, source, tags

import execute

ORDER = ["Doubt it", "Method card", "Check yourself", "Exercises", "Summary", "What we know so far", "Is it true?"]
ORDER += ["References"]
OPENING = ["# ", "[Open in Colab](", "**In short.**", "**Why care?**", "**Objectives.**", "**Prerequisites.**"]
OPENING += ["**Time.** {chapter-time}"]
WORDS, LINES, NUMBERS, SECTIONS, SOURCES = (1200, 1800), 150, 3, 7, 3
FOLDED = {"hide-input", "hide-cell", "remove-cell", "remove-input"}
SOLUTION = re.compile(r":::\{solution-start\}.*?:::\{solution-end\}\n:::", re.S)
NUMBER = re.compile(r"(?<![\w.,#/-])\d[\d,]*\d(?:\.\d+)?(?![\w-])|(?<![\w.])\d\.\d+")
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.M)


def text(path):
    return "\n\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")


def read_by_all(page):
    """Return the prose that every reader sees: no folded solutions, directives, formulas, tables or references."""
    page = SOLUTION.sub("", page)
    page = re.sub(r"^```\{bibliography\}.*?^```", "", page, flags=re.M | re.S)
    page = re.sub(r"^\[Open in Colab\].*$|^:::.*$|^:\w+:.*$|^\([\w-]+\)=$", "", page, flags=re.M)
    page = re.sub(r"\$\$.*?\$\$|\$[^$]+\$", "x", page, flags=re.S)
    page = re.sub(r"\s*\{cite(?::\w+)?\}`[^`]+`", "", page)
    page = re.sub(r"\{(?:ref|numref|term|doc)\}`(?:([^`<]+?)\s*<[^`]*>|([^`]+))`", r"\1\2", page)
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", page)


def n_words(path):
    return len(re.findall(r"[\w'-]+", re.sub(r"\{glue:text\}`[^`]+`", "number", read_by_all(text(path)))))


def visible_lines(path):
    """Count the lines of code that a reader of the page sees: not what is folded, nor solutions, which are below."""
    seen = [c for c in code(path) if not tags(c) & FOLDED and not source(c).startswith("# @title Solution")]
    return sum(bool(line.strip()) for cell in seen for line in source(cell).splitlines())


def paragraphs(page):
    blocks = re.split(r"\n\s*\n|\n(?=[*-] |\d+\. )", read_by_all(page))
    return [block for block in blocks if not block.lstrip().startswith(("|", "#"))]


def crowded(page):
    """Yield the paragraphs with more numbers than a reader takes in."""
    for block in paragraphs(page):
        block = re.sub(r"\{glue:text\}`[^`]+`", "10", block)
        found = NUMBER.findall(re.sub(r"`[^`]*`", "", block))
        if len(found) > NUMBERS:
            yield f"{len(found)} numbers: {block[:100]}"


def uncalled(found):
    """Yield the figures that the text does not call by their number before they appear."""
    before = ""
    for cell in found:
        if cell["cell_type"] == "markdown":
            before += source(cell)
        elif (name := figure(cell).get("name")) and f"{{numref}}`{name}`" not in before:
            yield name


def headings(page, level="##"):
    return re.findall(rf"^{level} (.+)$", page, flags=re.M)


def in_lessons(test):
    return pytest.mark.parametrize("path", LESSONS, ids=execute.name_of)(test)


def in_audits(test):
    return pytest.mark.parametrize("path", AUDITS, ids=execute.name_of)(test)


@in_lessons
def test_a_lesson_is_short(path):
    assert WORDS[0] <= n_words(path) <= WORDS[1], f"{n_words(path)} words"
    assert visible_lines(path) <= LINES, f"{visible_lines(path)} visible lines of code"


@in_lessons
def test_a_paragraph_has_few_numbers(path):
    found = list(crowded(text(path)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", LESSONS + AUDITS, ids=execute.name_of)
def test_every_figure_is_called_before_it_appears(path):
    found = list(uncalled(cells(path)))
    assert not found, f"not called by {{numref}} before they appear: {', '.join(found)}"


@in_lessons
def test_a_lesson_has_its_parts_in_order(path):
    page = text(path)
    places = [page.find(part) for part in OPENING]
    assert -1 not in places, OPENING[places.index(-1)]
    assert places == sorted(places)
    assert headings(page)[-len(ORDER) :] == ORDER
    assert len(headings(page)) - len(ORDER) <= SECTIONS
    first = next(cell for cell in cells(path) if figure(cell))
    assert page.find(f"{{numref}}`{figure(first)['name']}`") < page.find("**Why care?**"), "the answer has its picture"
    assert f'quiz("{path.stem}")' in "".join(source(cell) for cell in code(path))
    assert "{bibliography}" in page


@in_lessons
def test_a_lesson_does_not_lean_on_its_sources(path):
    page = SOLUTION.sub("", text(path)).split("## Is it true?")[0]
    leaning = re.findall(r"\b(?:tutorial|paper|sources?|lecture|seminar)\b", page, flags=re.I)
    assert len(leaning) <= SOURCES, f"{len(leaning)} times"


@in_lessons
def test_a_lesson_links_terms_to_the_glossary(path):
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    terms = {line.lower() for line in glossary.splitlines()}
    used = [a or b for a, b in re.findall(r"\{term\}`(?:[^`<]+<([^`>]+)>|([^`]+))`", text(path))]
    assert len(used) >= 3
    assert [term for term in used if term.lower() not in terms] == []


@in_lessons
def test_a_doubt_is_a_question_before_its_answer(path):
    page = text(path)
    doubt = page[page.index("\n## Doubt it") : page.index("\n## Method card")]
    assert "Stop and guess" in doubt
    assert "?" in doubt


@in_lessons
def test_every_conclusion_links_to_its_audit(path):
    audit = ROOT / "notebooks" / "audit" / path.name
    links = re.findall(r"^\* .*\{(?:ref|numref)\}`[^`<]*<([\w-]+)>`", text(path).split("## Is it true?")[1], flags=re.M)
    bullets = re.findall(r"^\* ", text(path).split("## Is it true?")[1].split("## References")[0], flags=re.M)
    assert len(bullets) >= 3
    assert len(links) == len(bullets), "each line links to the section of an audit"
    assert set(links) <= set(LABEL.findall(text(audit)))


@in_lessons
def test_exercises_have_tested_solutions(path):
    page = text(path)
    exercises = set(re.findall(r"\{exercise-start\}.*\n:label: (\S+)", page))
    solutions = set(re.findall(r"\{solution-start\} (\S+)", page))
    assert len(exercises) >= 3
    assert solutions == exercises
    assert page.count("{exercise-end}") == page.count("{solution-end}") == len(exercises)
    tested = [cell for cell in code(path) if source(cell).startswith("# @title Solution")]
    assert tested
    assert all("assert" in source(cell) for cell in tested)


@in_audits
def test_an_audit_judges_claims(path):
    page = text(path)
    assert "[Open in Colab](" in page
    assert f"../{path.name}" in page, "links back to its lesson"
    assert "{bibliography}" in page
    sections = re.split(r"^\((?=[\w-]+\)=\n## )", page, flags=re.M)[1:]
    assert len(sections) >= 3
    for section in sections:
        title = headings(section)[0]
        places = [section.find(f"**{part}.**") for part in ("Claim", "Test", "Result", "Verdict")]
        assert -1 not in places, title
        assert places == sorted(places), title
    labelled = {title for section in sections for title in headings(section)}
    assert set(headings(page)) - labelled <= {"References", "What is used below"}


# --- each check can fail ---------------------------------------------------------------------------------------------


def test_crowded_paragraphs_are_noticed():
    three = "Of {glue:text}`a` channels {glue:text}`b` fall, in digit 2 and layer `relu1`, 500 of them.\n\nNext: 12."
    assert list(crowded(three)) == []
    assert len(list(crowded(three.replace("500 of them", "500 of 2,000")))) == 1
    assert list(crowded("| 10 | 20 | 30 | 40 |\n| 10 | 20 | 30 | 40 |")) == []


def test_a_figure_that_is_not_called_is_noticed():
    drawn = {"cell_type": "code", "source": "", "metadata": {"mystnb": {"figure": {"name": "fig-a"}}}}
    told = {"cell_type": "markdown", "source": "See {numref}`fig-a`.", "metadata": {}}
    assert list(uncalled([told, drawn])) == []
    assert list(uncalled([drawn, told])) == ["fig-a"]


def test_what_is_folded_is_not_counted():
    page = "Two words.\n\n:::{solution-start} ex\n:label: sol\n:::\nHidden.\n:::{solution-end}\n:::\n\nMore $x^2$."
    assert "Hidden" not in read_by_all(page)
    assert read_by_all("{term}`the maps <feature map>` {cite}`a2020` [here](b.md)") == "the maps here"
