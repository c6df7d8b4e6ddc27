"""Store the outputs that every machine must reproduce: of cells tagged `keep_output` and `nbval-check-output`.

python book/tools/outputs.py    after make book, whose outputs it takes
"""

import json
from pathlib import Path

import nbformat
from jupyter_cache import get_cache

import execute

ROOT = Path(__file__).resolve().parents[2]
KEPT = {"keep_output", "nbval-check-output"}


def main():
    cache = get_cache(ROOT / "_build" / ".jupyter_cache")
    for path in execute.notebooks(ROOT):
        _, executed = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
        outputs = {cell["id"]: cell.get("outputs", []) for cell in executed.cells}
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                kept = set(cell["metadata"].get("tags", [])) >= KEPT
                cell["outputs"] = [as_stored(output) for output in outputs[cell["id"]]] if kept else []
                cell["execution_count"] = 1 if kept else None  # nbval wants a count where there is an output
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def as_stored(output):
    if "text" in output:
        output["text"] = output["text"].splitlines(keepends=True)
    return dict(output)


if __name__ == "__main__":
    main()
