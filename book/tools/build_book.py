"""Build the book: execute the chapters (cached), write the HTML, check it, make the slides. Strict: anything odd fails.

python book/tools/build_book.py    executes as many chapters at once as there are cores, or as INTERP_JOBS says
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import execute
import slides

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
HTML = BUILD / "html"
# greetings of TensorFlow and of the kernel, and what Sphinx is about to do
NOISE = re.compile(
    r"^[IWE]0000 |absl::InitializeLog|^To enable the following|\[IPKernelApp\] WARNING|ParserConfig|^\[etoc\]"
    r"|\.\.\. |: Using cached notebook|^(done|building|copying|loading|Source Folder|Config Path|Output Path)"
    r"|^(Using jupyter-cache|parsing)"
)
PROBLEM = re.compile(r": (WARNING|ERROR|CRITICAL|SEVERE):")


def main():
    os.environ["INTERP_STATIC"] = "1"  # no progress bars on a page
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # what TensorFlow's optimizer tells itself is nothing for a page
    try:
        execute.clear_if_stale(ROOT)
        execute_chapters(ROOT, execute.jobs())
    except ValueError as error:
        fail(error)
    write_pages()
    for problem in problems():
        fail(problem)
    print(f"\nThe book is at {HTML / 'index.html'}  (make serve opens it, slides are in {HTML / 'slides'})")


def execute_chapters(root, at_once):
    """Bring the cache of executed chapters up to date."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    cache, damaged = execute.open_cache(root / "_build" / ".jupyter_cache")
    if damaged:
        (root / "_build" / "pages_from").unlink(missing_ok=True)
    paths = execute.stale(execute.sources(root), cache)
    errors = execute.execute_all(paths, cache, at_once, config["execute"]["timeout"])
    for name, error in errors.items():
        print(f"--- {name}\n{error[-3000:]}")
    if errors:
        fail(f"the error of {', '.join(errors)} stands above; what was executed without one is kept")


def write_pages():
    """Write pages and slides, unless they are there and all that they are made from is as it was."""
    stamp = BUILD / "pages_from"
    places = [ROOT / name for name in ("notebooks", "book", "_config.yml", "_toc.yml", "_build/made_from")]
    now = execute.digest(places, ROOT)
    if stamp.exists() and stamp.read_text() == now:
        return
    if not stamp.exists():
        # a page that was read before is not read again, so a second build would pass over its warnings
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    stamp.unlink(missing_ok=True)
    jupyter_book = shutil.which("jupyter-book", path=Path(sys.executable).parent)
    if run([jupyter_book, "build", str(ROOT), "-W", "-n", "--keep-going"], BUILD / "build.log"):
        fail("the book did not build; the first warning above says why")
    slides.make_all(ROOT / "notebooks", BUILD / ".jupyter_cache", HTML / "slides")
    stamp.write_text(now)


def run(command, log):
    """Run a command, keep all it says in `log`, show what a reader of the build needs, and return its exit code."""
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=ROOT, **pipe) as process, log.open("w", encoding="utf-8") as file:
        try:
            for line in process.stdout:
                line = execute.ANSI.sub("", line)
                file.write(line)
                if line.strip() and (PROBLEM.search(line) or not NOISE.search(line)):
                    print(line, end="", flush=True)
        except BaseException:
            process.terminate()  # Ctrl-C may have reached this process alone
            raise
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


def fail(message):
    sys.exit(f"book: {message}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("book: stopped; the next call goes on from here")
        sys.exit(130)
