"""Plugin for pytest: nbval checks what the build has executed, instead of executing it again.

Where there is a build of this very state, nbval's kernel is a recording: each cell gives the outputs that it gave in
the build. All else is nbval's: a cell that raised fails, and so does one whose output is not the stored one. Without
such a build nbval starts a kernel, as ever, and also for notebooks that are named: ``pytest notebooks/10_ace.ipynb``.
"""

from collections import deque
from functools import cache, partial

import nbformat
from jupyter_cache import get_cache
from nbval.plugin import IPyNbCell, IPyNbFile

import execute


def pytest_collection_modifyitems(items):
    for notebook in {item.parent.path: item.parent for item in items if isinstance(item, IPyNbCell)}.values():
        notebook.setup = partial(set_up, notebook)


def set_up(notebook):
    """What nbval does before the first cell, with a recording where there is one."""
    cells = executed(notebook.path)
    if cells is None:
        IPyNbFile.setup(notebook)
    else:
        notebook.kernel = Recording(cells)
        notebook.setup_sanitize_files()


def executed(path):
    """Return the code cells of a notebook with the outputs of the build, or None if it has not executed them so."""
    root = path.parents[path.parts[::-1].index("notebooks")]
    build = root / "_build"
    if not build.exists() or not execute.is_current(build, made_from(root)):
        return None
    try:
        _, notebook = get_cache(build / ".jupyter_cache").merge_match_into_notebook(nbformat.read(path, as_version=4))
    except (KeyError, ValueError):  # another notebook, or a damaged one
        return None
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


made_from = cache(execute.made_from)


class Recording:
    """Answers nbval as a kernel would that executes these cells."""

    def __init__(self, cells):
        self.cells, self.messages = iter(cells), deque()

    def execute_cell_input(self, source, allow_stdin=None):
        cell = next(cell for cell in self.cells if cell.source == source)
        told = [(output.output_type, output) for output in cell.outputs]
        self.messages = deque([*told, ("status", {"execution_state": "idle"})])
        return "recorded"

    def get_message(self, stream, timeout=None):
        kind, content = self.messages.popleft()
        return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "recorded"}}

    def await_reply(self, msg_id, timeout=None):
        """The cell has been executed."""

    def await_idle(self, msg_id, timeout):
        self.messages.clear()

    def is_alive(self):
        return True

    def stop(self):
        """There is nothing to stop."""
