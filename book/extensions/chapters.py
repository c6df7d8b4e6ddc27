"""Sphinx extension: how long each chapter takes to read and to run, and how audits are numbered.

``{chapter-time}`` in a lesson or an audit is replaced by its own times, and in a lesson by a link to its slides;
``{chapter-table}`` by a table of all lessons. Minutes come from the words, the figures and the visible code of the
page, seconds from its execution in the build that shows it.

The audit of lesson 7 is A7, its sections A7.1, A7.2, ..., its figures A7.1, ...

It also keeps the scripts of Thebe away, which Jupyter Book always loads and this book does not use.
"""

import re
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx_external_toc.collectors import TocTreeCollectorWithStyles

AUDIT = re.compile(r"notebooks/audit/0*(\d+)_")
WORDS_A_MINUTE, SECONDS_A_FIGURE, SECONDS_A_LINE_OF_CODE = 200, 20, 4


def setup(app):
    app.add_role("chapter-time", chapter_time)
    app.add_directive("chapter-table", ChapterTable)
    app.add_node(ChapterTime)
    app.add_node(ChapterTableHere)
    app.add_post_transform(ShowTimes)
    app.connect("env-updated", pages_with_times)
    app.connect("config-inited", leave_thebe_out)
    app.connect("config-inited", draw_logo, priority=100)  # before Sphinx looks for the file
    app.connect("builder-inited", number_audits)
    app.connect("doctree-read", note_effort)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}


def leave_thebe_out(app, config):
    """Take back what sphinx_thebe puts on each page: it declares its constants twice, which is an error."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


def draw_logo(app, config):
    """Draw the logo, a kernel of three by three weights with the middle one lit, and make it the icon, too."""
    shades = ["#b9c6d2", "#31688e", "#b9c6d2", "#31688e", "#e8a33d", "#31688e", "#b9c6d2", "#31688e", "#b9c6d2"]
    squares = "".join(
        f'<rect x="{4 + 40 * (i % 3)}" y="{4 + 40 * (i // 3)}" width="36" height="36" rx="5" fill="{shade}"/>'
        for i, shade in enumerate(shades)
    )
    path = Path(app.outdir).parent / "logo.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 124 124">{squares}</svg>')
    config.html_logo = config.html_favicon = str(path)


def number_audits(app):
    """Give audits numbers of their own, once Sphinx has numbered them on from the lessons."""
    number_all = TocTreeCollectorWithStyles.assign_section_numbers

    def assign_section_numbers(self, env):
        changed = number_all(self, env)
        for docname in filter(AUDIT.match, env.toc_secnumbers):
            first = f"A{AUDIT.match(docname).group(1)}"
            numbers = env.toc_secnumbers[docname]
            env.toc_secnumbers[docname] = {anchor: (first, *number[1:]) for anchor, number in numbers.items()}
            places = [env.titles[docname], *env.tocs[docname].findall(nodes.reference)]
            for place in places:
                place["secnumber"] = (first, *place["secnumber"][1:])
        return changed

    TocTreeCollectorWithStyles.assign_section_numbers = assign_section_numbers


def note_effort(app, doctree):
    """Note how many figures and visible lines of code a page has; what is folded does not count."""
    folded = [node for node in doctree.findall(nodes.container) if node.get("hide_mode") in ("all", "input")]
    inside = {id(block) for node in folded for block in node.findall(nodes.literal_block)}
    cells = [node for node in doctree.findall(nodes.container) if "cell_input" in node.get("classes", [])]
    blocks = {id(block): block for cell in cells for block in cell.findall(nodes.literal_block)}
    lines = sum(len(block.astext().splitlines()) for name, block in blocks.items() if name not in inside)
    figures = sum(1 for _ in doctree.findall(nodes.figure))
    app.env.metadata[app.env.docname]["effort"] = {"figures": figures, "lines": lines}


class ChapterTime(nodes.General, nodes.Inline, nodes.Element):
    """Placeholder for the times of the page that it stands on."""


class ChapterTableHere(nodes.General, nodes.Element):
    """Placeholder for the table of chapters."""


def chapter_time(name, rawtext, text, lineno, inliner, options=None, content=None):
    return [ChapterTime()], []


class ChapterTable(SphinxDirective):
    def run(self):
        return [ChapterTableHere()]


def pages_with_times(app, env):
    """Write these pages anew, because they show times that are known only when everything has been executed."""
    return [docname for docname in env.found_docs if docname == "book/how_to_use" or is_chapter(docname)]


class ShowTimes(SphinxPostTransform):
    default_priority = 8  # before references are resolved

    def run(self, **kwargs):
        for node in list(self.document.findall(ChapterTime)):
            minutes, seconds = times(self.env, self.env.docname)
            text = f"{minutes} minutes to read, {seconds} seconds to run. "
            deck = f"../slides/{Path(self.env.docname).name}.html"
            slides = [] if AUDIT.match(self.env.docname) else [nodes.reference("", "Slides", refuri=deck)]
            node.replace_self([nodes.Text(text), *slides])
        for node in list(self.document.findall(ChapterTableHere)):
            node.replace_self(chapter_table(self.app, self.env, self.env.docname))


def is_chapter(docname):
    return docname.startswith("notebooks/")


def times(env, docname):
    """Return minutes to read and seconds to run of a page that has been executed."""
    words, effort = env.metadata[docname]["wordcount"]["words"], env.metadata[docname]["effort"]
    seconds_looking = effort["figures"] * SECONDS_A_FIGURE + effort["lines"] * SECONDS_A_LINE_OF_CODE
    minutes = words / WORDS_A_MINUTE + seconds_looking / 60
    run = NbMetadataCollector.get_exec_data(env, docname) or {}
    seconds = run.get("runtime")
    return max(1, round(minutes)), "?" if seconds is None else max(1, round(seconds))


def chapter_table(app, env, here):
    table = nodes.table(classes=["colwidths-auto"])
    group = nodes.tgroup(cols=4)
    table += group
    for width in (52, 16, 16, 16):
        group += nodes.colspec(colwidth=width)
    head, body = nodes.thead(), nodes.tbody()
    head += row(*(nodes.Text(title) for title in ("Lesson", "minutes to read", "seconds to run", "lecture")))
    for docname in sorted(name for name in env.found_docs if is_chapter(name) and not AUDIT.match(name)):
        minutes, seconds = times(env, docname)
        link = nodes.reference("", env.titles[docname].astext(), refuri=app.builder.get_relative_uri(here, docname))
        slides = nodes.reference("", "slides", refuri=f"../slides/{Path(docname).name}.html")
        body += row(link, nodes.Text(str(minutes)), nodes.Text(str(seconds)), slides)
    group += [head, body]
    return table


def row(*entries):
    line = nodes.row()
    for entry in entries:
        line += nodes.entry("", nodes.paragraph("", "", entry))
    return line
