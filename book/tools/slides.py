"""Make a deck of slides from each executed chapter: ``make slides``.

The cells carry slide types (`slideshow.slide_type` in their metadata), and nbconvert makes the deck. What it does not
know is done here: values that the book's prose shows (`glue`), captions, citations, and Sphinx's directives. reveal.js
and MathJax are copied from installed packages, so a deck works without a network.
"""

import html
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from nbconvert import SlidesExporter
from traitlets.config import Config

TEMPLATES = Path(__file__).parent
HIDDEN = {"remove-cell", "remove-output"}


def make_all(notebooks, cache, target):
    """Write a deck to `target` for every notebook in a folder, with the outputs that the book's build cached."""
    shutil.rmtree(target, ignore_errors=True)
    copy_package_files("sphinx_revealjs", "_static/revealjs", target / "reveal")
    cache = get_cache(cache)
    for path in sorted(notebooks.glob("*.ipynb")):
        _, executed = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
        (target / f"{path.stem}.html").write_text(deck(executed), encoding="utf-8")


def deck(notebook):
    """Return the HTML of the deck of one executed notebook."""
    values = glued_values(notebook)
    add_headings(notebook)
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if "remove-cell" in tags:
            cell.metadata["slideshow"] = {"slide_type": "skip"}
        if cell.cell_type == "markdown":
            cell.source = plain_markdown(cell.source, values)
            continue
        cell.outputs = [] if tags & HIDDEN else [output for output in cell.outputs if output.get("name") != "stderr"]
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
        if caption:  # a hall looks at the figure; the code that draws it is on the page
            cell.metadata["transient"] = {"remove_source": True}
            data = {"text/html": f'<p class="caption">{html.escape(caption)}</p>'}
            cell.outputs.append(nbformat.v4.new_output("display_data", data))
    config = Config()
    config.SlidesExporter.reveal_url_prefix = "reveal"
    config.SlidesExporter.reveal_theme = "white"
    config.HTMLExporter.mathjax_url = "../_static/mathjax/tex-chtml.js"
    config.SlidesExporter.template_name = "slides_template"
    config.SlidesExporter.extra_template_basedirs = [str(TEMPLATES)]
    return SlidesExporter(config=config).from_notebook_node(notebook)[0]


def add_headings(notebook):
    """Start a slide that has no heading of its own with that of its section."""
    heading, cells = "", []
    for cell in notebook.cells:
        own = re.search(r"^#{1,3} .*", cell.source, flags=re.M) if cell.cell_type == "markdown" else None
        if own:
            heading = own.group().lstrip("# ")
        elif cell.metadata.get("slideshow", {}).get("slide_type") == "slide":
            cells.append(nbformat.v4.new_markdown_cell(f"## {heading}", metadata=cell.metadata.copy()))
            cell.metadata["slideshow"] = {"slide_type": "-"}
        cells.append(cell)
    notebook.cells = cells


def glued_values(notebook):
    """Collect what the cells of a notebook handed to its prose."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            record = output.get("metadata", {}).get("scrapbook")
            if record:
                text = output["data"].get(f"{record['mime_prefix']}text/plain", "")
                values[record["name"]] = text.strip("'\"")
    return values


def plain_markdown(text, values):
    """Turn MyST into Markdown that nbconvert understands."""
    text = re.sub(r"^```\{bibliography\}.*?^```\n?", "", text, flags=re.M | re.S)
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    text = re.sub(r"\{glue:text\}`([^`]+)`", lambda match: values[match.group(1)], text)
    text = re.sub(r"\{numref\}`fig-[^`]+`", "the figure", text)
    text = re.sub(r"\{(?:ref|numref|term|doc)\}`([^`<]+?)\s*(?:<[^`]*>)?`", r"\1", text)
    text = re.sub(r"\s*\{cite(?::\w+)?\}`[^`]+`", "", text)
    text = re.sub(r"\]\((?:\.\./(book)/)?(\w+)\.(?:ipynb|md)", page_of_the_book, text)
    text = re.sub(r"\n*\*\*Time\.\*\* \{chapter-time\}.*", "", text)
    text = re.sub(r"^\[Open in Colab\].*\n?", "", text, flags=re.M)
    text = re.sub(r"^:::\{[\w-]+\} *(.*)\n(?::\w+:.*\n)*", lambda match: f"**{match.group(1)}**\n\n", text, flags=re.M)
    return re.sub(r"^:::\s*$", "", text, flags=re.M)


def page_of_the_book(link):
    """Turn a link from notebook to notebook, or to a page of book/, into one from deck to page."""
    return f"](../{link.group(1) or 'notebooks'}/{link.group(2)}.html"


def copy_package_files(package, inside, target):
    source = Path(find_spec(package).origin).parent / inside
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map", "*.scss", "*.md"))
