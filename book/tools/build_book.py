"""Build the book: execute the chapters (cached), write the HTML, check it, make the slides. Strict: anything odd fails.

python book/tools/build_book.py
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import yaml

import slides

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
HTML = BUILD / "html"
ANSI = re.compile(r"\x1b\[[\d;]*m")
# greetings of TensorFlow and of the kernel, and what Sphinx is about to do
NOISE = re.compile(
    r"^[IWE]0000 |absl::InitializeLog|^To enable the following|\[IPKernelApp\] WARNING|ParserConfig|^\[etoc\]"
    r"|\.\.\. |^(done|building|copying|loading|Source Folder|Config Path|Output Path|Using jupyter-cache|parsing)"
)
PROBLEM = re.compile(r": (WARNING|ERROR|CRITICAL|SEVERE):")


def main():
    try:
        clear_stale_cache()
    except ValueError as error:
        fail(error)
    os.environ["INTERP_STATIC"] = "1"  # nobody can turn a widget on a page: explorers draw a figure, no progress bars
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what TensorFlow's optimizer tells itself is nothing for a page
    # only the first run of a builder executes the notebooks, so this is the step that has to be strict
    jupyter_book = shutil.which("jupyter-book", path=Path(sys.executable).parent)
    command = [jupyter_book, "build", str(ROOT), "-W", "-n", "--keep-going"]
    if run(command, BUILD / "build.log"):
        show_execution_reports()
        # a page that was read before is not read again, so a second build would pass over its warnings
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
        fail("the book did not build; the first warning or failed cell above says why")
    for problem in problems():
        fail(problem)
    slides.make_all(ROOT / "notebooks", BUILD / ".jupyter_cache", HTML / "slides")
    print(f"\nThe book is at {HTML / 'index.html'}  (make serve opens it, slides are in {HTML / 'slides'})")


def clear_stale_cache():
    """Throw executed notebooks away if anything but their own code has changed: the cache looks at that alone."""
    from interp_helpers.data import load_mnist

    parts = [sys.version, os.environ.get("INTERP_FAST", ""), load_mnist().source]
    parts += sorted(f"{package.name} {package.version}" for package in distributions())
    for folder in ("interp_helpers", "book/results"):
        files = (file for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        parts += [f"{file.relative_to(ROOT)} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in sorted(files)]
    now, stamp = hashlib.sha256("\n".join(parts).encode()).hexdigest(), BUILD / "made_from"
    if not stamp.exists() or stamp.read_text() != now:
        shutil.rmtree(BUILD, ignore_errors=True)
        BUILD.mkdir()
        stamp.write_text(now)


def run(command, log):
    """Run a command, keep all it says in `log`, show what a reader of the build needs, and return its exit code."""
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    with (
        subprocess.Popen(command, cwd=ROOT, **pipe) as process,
        log.open("w", encoding="utf-8") as file,
    ):
        for line in process.stdout:
            line = ANSI.sub("", line)
            file.write(line)
            if line.strip() and (PROBLEM.search(line) or not NOISE.search(line)):
                print(line, end="", flush=True)
    return process.returncode


def pages():
    """Return the pages of the table of contents, without ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def problems():
    """Yield what is wrong with the built HTML."""
    for page in pages():
        path = HTML / f"{page}.html"
        if not path.exists():
            yield f"page {page} is missing from the built book"
            continue
        text = path.read_text(encoding="utf-8")
        if "Traceback (most recent call last)" in text or 'class="output traceback' in text:
            yield f"page {page} shows a traceback"
        if 'class="output stderr' in text:
            yield f"page {page} shows a warning, or what else was written to stderr"
        if number := re.search(r"\bnp\.(?:int|float|bool|str)\w*\([^)]*\)", text):  # code is cut up by its colours
            yield f"page {page} shows a number as NumPy writes it: {number.group()}"
        leftover = re.search(r"\{(glue:text|cite|chapter-time|glue)\}", text)
        if leftover:
            yield f"page {page} shows raw markup: {leftover.group()}"


def show_execution_reports():
    for report in sorted((HTML / "reports").rglob("*.log")):
        print(f"--- {report.relative_to(HTML)}\n{report.read_text(encoding='utf-8')[-3000:]}")


def fail(message):
    sys.exit(f"book: {message}")


if __name__ == "__main__":
    main()
