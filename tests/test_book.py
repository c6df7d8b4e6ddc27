"""The built book: made here (from cached notebooks where nothing has changed), then read as a browser would."""

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT

import build_book
import execute
import interp_helpers
import slides
from interp_helpers.data import EMBEDDED

NOTEBOOKS = [page for page in build_book.pages() if page.startswith("notebooks/")]
CHAPTERS = [page for page in NOTEBOOKS if "/audit/" not in page]
MOST_BYTES = 1.5e6  # of a page with its pictures


@pytest.fixture(scope="session")
def html():
    """The folder of the built book."""
    command = [sys.executable, str(ROOT / "book" / "tools" / "build_book.py")]
    # a kernel that knows itself inside pytest would not hand what libraries write to stderr to its page
    outside = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=outside)
    assert made.returncode == 0, (made.stdout + made.stderr)[-6000:]
    assert str(build_book.HTML / "index.html") in made.stdout.splitlines()[-1]
    return build_book.HTML


class Links(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.images, self.captions = [], [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes)
        self.captions += tag == "figcaption"
        target = attributes.get("href") or attributes.get("src")
        if target:
            self.links.append(target)


def test_all_pages_are_there_and_none_shows_a_traceback(html):
    assert list(build_book.problems()) == []
    assert NOTEBOOKS == [str(path.relative_to(ROOT).with_suffix("")) for path in execute.notebooks(ROOT)]


def test_problems_are_noticed(monkeypatch, tmp_path):
    """The check above can fail."""
    for page in build_book.pages():
        path = tmp_path / f"{page}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text("<p>fine</p>")
    monkeypatch.setattr(build_book, "HTML", tmp_path)
    assert list(build_book.problems()) == []
    (tmp_path / "book" / "api.html").unlink()
    (tmp_path / "book" / "glossary.html").write_text("<pre>Traceback (most recent call last)</pre>")
    (tmp_path / "book" / "index.html").write_text("<p>accuracy {glue:text}`accuracy`</p>")
    (tmp_path / "book" / "references.html").write_text("<p>in np.int64(10) of ten</p>")
    said = " ".join(build_book.problems())
    assert "book/api is missing" in said
    assert "book/glossary shows a traceback" in said
    assert "book/index shows raw markup: {glue:text}" in said
    assert "book/references shows a number as NumPy writes it: np.int64(10)" in said


@pytest.mark.parametrize("page", build_book.pages())
def test_links_on_the_page_lead_somewhere(html, page):
    path = html / f"{page}.html"
    for link in Links(path).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc or not parts.path:
            continue
        target = (path.parent / unquote(parts.path)).resolve()
        assert target.exists(), f"{page} links to {link}"


@pytest.mark.parametrize("page", [*NOTEBOOKS, "book/index"])
def test_every_drawn_figure_has_alt_text_and_caption(html, page):
    parsed = Links(html / f"{page}.html")
    drawn = [image for image in parsed.images if "_images/" in image.get("src", "")]
    inside = [image for image in parsed.images if image.get("src", "").startswith("data:image/png")]  # picture_slider
    assert drawn
    assert all(len(image.get("alt") or "") > 40 for image in drawn + inside)
    assert parsed.captions >= len(drawn)


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_a_page_is_light(html, page):
    path = html / f"{page}.html"
    images = [path.parent / image["src"] for image in Links(path).images if "_images/" in image.get("src", "")]
    size = path.stat().st_size + sum(image.stat().st_size for image in set(images))
    assert size < MOST_BYTES, f"{size / 1e6:.1f} MB"


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_no_page_waits_for_a_widget(html, page):
    """A widget would fetch scripts from elsewhere."""
    assert "jupyter.widget" not in (html / f"{page}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", build_book.pages())
def test_no_script_of_the_page_declares_a_constant_twice(html, page):
    """Two scripts of a page share their constants; the second declaration is an error."""
    text = (html / f"{page}.html").read_text(encoding="utf-8")
    head = text[: text.index("<body")]
    declared = re.findall(r"\bconst (\w+)", " ".join(re.findall(r"<script[^>]*>(.*?)</script>", head, re.S)))
    assert len(declared) == len(set(declared))


@pytest.mark.parametrize("page", NOTEBOOKS)
def test_chapter_opens_in_colab(html, page):
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    owner = re.search(r"url: https://github.com/(\S+)", config).group(1)
    address = f"https://colab.research.google.com/github/{owner}/blob/main/{page}.ipynb"
    assert Links(html / f"{page}.html").links.count(address) >= 2, "badge and launch button"


def test_chapter_1_says_what_it_trained_on(html, mnist_as_found):
    text = (html / "notebooks" / "01_mnist_cnn.html").read_text(encoding="utf-8")
    accuracy = float(re.search(r"accuracy (0\.\d{4}), 95 % interval", text).group(1))
    if mnist_as_found.source == EMBEDDED:
        assert "4,000 training and 1,000 test images (the embedded digits" in text
        assert accuracy >= 0.93
    else:
        assert f"55,000 training and 10,000 test images ({mnist_as_found.source})" in text
        assert accuracy >= 0.98


def test_table_of_chapters_has_measured_times(html):
    text = (html / "book" / "how_to_use.html").read_text(encoding="utf-8")
    for page in CHAPTERS:
        row = re.search(rf"<tr[^>]*>(?:(?!</tr>).)*{page}\.html.*?</tr>", text, re.S).group()
        minutes, seconds = map(int, re.findall(r"<p>(\d+)</p>", row))
        assert 5 <= minutes <= 30
        assert 1 <= seconds <= 600


def test_api_page_documents_every_public_function(html):
    text = (html / "book" / "api.html").read_text(encoding="utf-8")
    for module in pkgutil.iter_modules(interp_helpers.__path__):
        namespace = import_module(f"interp_helpers.{module.name}")
        for name, item in vars(namespace).items():
            public = inspect.isfunction(item) or inspect.isclass(item)
            if public and item.__module__ == namespace.__name__ and not name.startswith("_") and name != "main":
                assert f'id="interp_helpers.{module.name}.{name}"' in text, f"{module.name}.{name}"


@pytest.mark.parametrize("page", CHAPTERS)
def test_slides(html, page):
    path = html / "slides" / f"{page.split('/')[-1]}.html"
    text = path.read_text(encoding="utf-8")
    assert 12 <= len(re.findall(r"<section\s*>\s*<section", text)) <= 20
    body = re.sub(r"<script.*?</script>", "", text[text.index("<main>") :], flags=re.S)
    assert not re.search(r"\{[\w:-]+\}`|^:::|\{bibliography\}", body, re.M), "raw markup on a slide"
    for link in Links(path).links:
        parts = urlsplit(link)
        assert parts.scheme in ("", "data", "http", "https")
        if not parts.scheme and parts.path:
            assert (path.parent / parts.path).exists(), link
    scripts = re.findall(r'<script[^>]*src="([^"]+)"', text)
    assert scripts
    assert all(not script.startswith("http") for script in scripts), "a deck must work without a network"


def test_slides_resolve_what_nbconvert_does_not_know():
    text = ":::{admonition} Where the source slips\n:class: warning\nRead {glue:text}`n` digits {cite}`key2020`.\n:::\n"
    assert slides.plain_markdown(text, {"n": "9"}) == "**Where the source slips**\n\nRead 9 digits.\n"
    links = "[one](01_mnist_cnn.ipynb), [two](../book/corrections.md)"
    there = "[one](../notebooks/01_mnist_cnn.html), [two](../book/corrections.html)"
    assert slides.plain_markdown(links, {}) == there


@pytest.mark.parametrize("change", ["nothing", "environment", "package"])
def test_cache_is_cleared_when_results_may_change(monkeypatch, tmp_path, change, no_mnist):
    for folder in ("interp_helpers", "book/results"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "interp_helpers" / "data.py").write_text("n = 1")
    execute.clear_if_stale(tmp_path)
    (tmp_path / "_build" / "executed").touch()
    if change == "environment":
        monkeypatch.setenv("INTERP_FAST", "1")
    if change == "package":
        (tmp_path / "interp_helpers" / "data.py").write_text("n = 2")
    execute.clear_if_stale(tmp_path)
    assert (tmp_path / "_build" / "executed").exists() == (change == "nothing")
