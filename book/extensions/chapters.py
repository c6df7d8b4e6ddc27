"""Sphinx extension: how long each chapter takes to read and to run, measured in the build that shows it.

``{chapter-time}`` in a chapter is replaced by its own times and a link to its slides; ``{chapter-table}`` by a table
of all chapters. Minutes come from the words of the page (MyST counts them), seconds from its execution.

It also keeps the scripts of Thebe away, which Jupyter Book always loads and this book does not use.
"""

from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


def setup(app):
    app.add_role("chapter-time", chapter_time)
    app.add_directive("chapter-table", ChapterTable)
    app.add_node(ChapterTime)
    app.add_node(ChapterTableHere)
    app.add_post_transform(ShowTimes)
    app.connect("env-updated", pages_with_times)
    app.connect("config-inited", leave_thebe_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}


def leave_thebe_out(app, config):
    """Take back what sphinx_thebe puts on each page: it declares its constants twice, which is an error."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


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
            node.replace_self([nodes.Text(text), nodes.reference("", "Slides of this chapter", refuri=deck)])
        for node in list(self.document.findall(ChapterTableHere)):
            node.replace_self(chapter_table(self.app, self.env, self.env.docname))


def is_chapter(docname):
    return docname.startswith("notebooks/")


def times(env, docname):
    """Return minutes to read and seconds to run of a page that has been executed."""
    minutes = env.metadata[docname]["wordcount"]["minutes"]
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
    head += row(*(nodes.Text(title) for title in ("Chapter", "minutes to read", "seconds to run", "lecture")))
    for docname in sorted(filter(is_chapter, env.found_docs)):
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
