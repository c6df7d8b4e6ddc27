"""The machinery of the build, on books of two notebooks: progress, failures, Ctrl-C, a damaged cache, nbval."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from conftest import ROOT
from jupyter_cache import get_cache

import execute

INDEX = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A book

```{code-cell} ipython3
:tags: [remove-input]
print("from the first page")
```
"""
TOC = "format: jb-book\nroot: book/index\nparts:\n  - chapters: [{file: notebooks/first}, {file: notebooks/second}]\n"
DATA = "from types import SimpleNamespace\ndef load_mnist():\n    return SimpleNamespace(source='toy')\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_notebook(path, code, outputs=(), tags=()):
    """A notebook of a title and one cell, which was executed if it has outputs."""
    cell = nbformat.v4.new_code_cell(code, outputs=list(outputs), metadata={"tags": list(tags)})
    cell.execution_count = 1 if outputs else None
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    title = nbformat.v4.new_markdown_cell(f"# {path.stem}")
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[title, cell], metadata=kernel), path)
    return path


def printed(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def python(root, *arguments, **variables):
    """How to call Python in a toy book, whose interp_helpers has no data to look for."""
    path = os.pathsep.join(map(str, [root, ROOT / "book" / "tools", ROOT / "tests"]))
    options = {"cwd": root, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return [sys.executable, *map(str, arguments)], options | {"env": {**os.environ, "PYTHONPATH": path, **variables}}


def run(root, *arguments, **variables):
    command, options = python(root, *arguments, **variables)
    ended = subprocess.run(command, **options, check=False, timeout=300)
    return ended.returncode, ended.stdout


@pytest.fixture
def book(tmp_path):
    """A book of two notebooks, which a test has still to write."""
    for name in ("book/tools", "book/extensions", "book/static"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    write(tmp_path / "_toc.yml", TOC)
    write(tmp_path / "book" / "index.md", INDEX)
    write(tmp_path / "book" / "plain.md", "# No code\n")
    write(tmp_path / "book" / "references.bib", "")
    write(tmp_path / "interp_helpers" / "__init__.py", "")
    write(tmp_path / "interp_helpers" / "data.py", DATA)
    return tmp_path


def test_build_goes_on_after_a_failure_and_executes_nothing_twice(book):
    write_notebook(book / "notebooks" / "first.ipynb", "print('all is well')")
    write_notebook(book / "notebooks" / "second.ipynb", "open('mended').close()")
    build = ["book/tools/build_book.py"]

    code, said = run(book, *build)
    assert code == 1
    assert said.count("FileNotFoundError: [Errno 2] No such file or directory: 'mended'") == 1, said
    assert "[3 of 3]" in said
    assert "book: the error of second stands above" in said
    assert not (book / "_build" / "html").exists()

    (book / "notebooks" / "mended").touch()
    code, said = run(book, *build)
    assert code == 0, said
    assert "[1 of 1] second done" in said
    assert "Executing" not in said, "only here"
    assert "FileNotFoundError" not in said
    pages = [(book / "_build" / "html" / "notebooks" / f"{name}.html").read_text() for name in ("first", "second")]
    assert "all is well" in pages[0]
    assert all("THEBE_JS_URL" not in page for page in pages)

    code, said = run(book, *build)
    assert code == 0, said
    assert said.strip().startswith("The book is at"), "neither executed nor written again"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupted_build_leaves_no_kernel_and_keeps_what_is_done(book):
    quick = write_notebook(book / "notebooks" / "first.ipynb", "print('done')")
    slow = write_notebook(book / "notebooks" / "second.ipynb", "import time\ntime.sleep(600)")
    command, options = python(book, "book/tools/build_book.py", INTERP_JOBS="2")
    hear = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # in the background, it is ignored
    with subprocess.Popen(command, **options, **hear) as process:
        try:
            while "first done" not in (line := process.stdout.readline()):
                assert line, "the build ended by itself"
            time.sleep(1)
            kernels = psutil.Process(process.pid).children(recursive=True)
            assert kernels
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert "book: stopped; the next call goes on from here" in said
    assert "Traceback" not in said
    psutil.wait_procs(kernels, timeout=10)
    assert not [kernel for kernel in kernels if kernel.is_running()]
    cache, damaged = execute.open_cache(book / "_build" / ".jupyter_cache")
    assert not damaged
    assert execute.stale([quick, slow], cache) == [slow]


@pytest.mark.parametrize("at_once", [1, 2])
def test_at_most_so_many_notebooks_at_once_each_in_one_thread(tmp_path, capsys, at_once):
    code = (
        "import os, time\ntime.sleep(0.5)\nprint(os.environ['OMP_NUM_THREADS'], os.environ['TF_NUM_INTRAOP_THREADS'])"
    )
    paths = [write_notebook(tmp_path / f"{name}.ipynb", code) for name in ("first", "second", "11_pcace")]
    cache = get_cache(tmp_path / "cache")
    assert execute.execute_all(paths, cache, at_once, timeout=60) == {}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 6
    assert max(line.count(",") for line in said) == at_once - 1, "the names of those that run"
    assert re.fullmatch(r"\[0 of 3\] 11_pcace starts; running: 11_pcace; 2 left; 0 min \d s", said[0])
    assert re.fullmatch(r"\[3 of 3\] \w+ done in \d s; 0 left; 0 min \d+ s", said[-1])
    for path in paths:
        record = cache.match_cache_notebook(nbformat.read(path, as_version=4))
        assert 0.5 < record.data["execution_seconds"] < 60
        assert cache.get_cache_bundle(record.pk).nb.cells[0].outputs[0].text == "1 1\n"


def test_a_line_of_progress():
    line = execute.progress_line(3, 15, "11_pcace done in 82 s", ["12_comparisons"], 190)
    assert line == "[3 of 15] 11_pcace done in 82 s; running: 12_comparisons; 11 left; 3 min 10 s"


def test_a_kernel_that_dies_is_a_failure(tmp_path):
    path = write_notebook(tmp_path / "first.ipynb", "import os\nos._exit(1)")
    errors = execute.execute_all([path], get_cache(tmp_path / "cache"), 1, timeout=60)
    assert "Kernel died" in errors["first"]


def test_jobs_are_asked_for_or_fit_cores_and_memory(monkeypatch):
    monkeypatch.setenv("INTERP_JOBS", "3")
    assert execute.jobs() == 3
    monkeypatch.delenv("INTERP_JOBS")
    monkeypatch.setattr(execute, "cores", lambda: 4)
    for gigabytes, jobs in ((1, 1), (7, 3), (64, 4)):
        monkeypatch.setattr(psutil, "virtual_memory", lambda total=gigabytes * 10**9: SimpleNamespace(total=total))
        assert execute.jobs() == jobs


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5"])
def test_jobs_are_a_positive_whole_number(monkeypatch, jobs):
    monkeypatch.setenv("INTERP_JOBS", jobs)
    with pytest.raises(ValueError, match=f"INTERP_JOBS: got '{jobs}'; give a positive whole number"):
        execute.jobs()


# --- the cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path):
    """Two notebooks and a cache that has executed them: paths, the folder of the cache, the stored notebook files."""
    paths = [write_notebook(tmp_path / f"{name}.ipynb", f"print('{name}')") for name in ("first", "second")]
    folder = tmp_path / "_build" / ".jupyter_cache"
    cache = get_cache(folder)
    for path in paths:
        executed = nbformat.read(path, as_version=4)
        executed.cells[1].outputs = [printed(f"{path.stem}\n")]
        execute.store(cache, path, executed, 3.5)
    cache.db.dispose()
    keys = [cache.match_cache_notebook(nbformat.read(path, as_version=4)).hashkey for path in paths]
    return paths, folder, [folder / "executed" / key / "base.ipynb" for key in keys]


def test_whole_cache_is_left_alone(cached, capsys):
    paths, folder, _ = cached
    cache, damaged = execute.open_cache(folder)
    assert not damaged
    assert execute.stale(paths, cache) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_damaged_database_is_made_anew(cached, capsys, damage):
    paths, folder, _ = cached
    database = (folder / "global.db").read_bytes()
    (folder / "global.db").write_bytes({"cut": database[:5000], "empty": b"", "other": b"no database " * 999}[damage])
    cache, damaged = execute.open_cache(folder)
    assert damaged
    assert execute.stale(paths, cache) == paths
    said = capsys.readouterr().out
    assert re.fullmatch(r"The cache of executed notebooks is damaged \(.*\): all chapters are executed again.\n", said)
    execute.store(cache, paths[0], nbformat.read(paths[0], as_version=4), 1)
    assert execute.stale(paths, cache) == paths[1:]


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "folder missing"])
def test_damaged_notebook_is_executed_again(cached, capsys, damage):
    paths, folder, (stored, _) = cached
    text = stored.read_text()
    stored.write_text(text[: len(text) // 2] if damage == "cut" else "")
    if damage == "missing":
        stored.unlink()
    if damage == "folder missing":
        shutil.rmtree(stored.parent)
    cache, damaged = execute.open_cache(folder)
    assert damaged
    assert capsys.readouterr().out == "first is damaged in the cache: it is executed again.\n"
    assert execute.stale(paths, cache) == paths[:1]
    execute.store(cache, paths[0], nbformat.read(paths[0], as_version=4), 1)
    assert execute.open_cache(folder)[1] is False


# --- nbval on what the build executed --------------------------------------------------------------------------------


def write_checked(book, name, stored, code="print(6 * 7)"):
    """Write a notebook that leaves a file when it runs, and whose output is checked against the stored one."""
    code = f"open('{name} ran', 'w').close()\n{code}"
    return write_notebook(book / "notebooks" / f"{name}.ipynb", code, [printed(stored)], ["nbval-check-output"])


def cache_as_executed(book, path, output):
    executed = nbformat.read(path, as_version=4)
    executed.cells[1].outputs = [output]
    execute.store(get_cache(book / "_build" / ".jupyter_cache"), path, executed, 1)
    return path


def nbval(book):
    """Run nbval on a toy book, as `make test` does; return what it says, by notebook, and the notebooks that ran."""
    options = ["--nbval-lax", "-c", os.devnull, "--rootdir", book, "-p", "replay", "-p", "no:cacheprovider", "-rA"]
    _, said = run(book, "-m", "pytest", *options, book / "notebooks")
    results = {name: result for result, name in re.findall(r"^(PASSED|FAILED) notebooks/(\w+)", said, re.M)}
    return said, results, {path.name.split()[0] for path in (book / "notebooks").glob("* ran")}


@pytest.fixture
def built(book, monkeypatch):
    """A book whose build is of the present state."""
    monkeypatch.setattr("interp_helpers.data.load_mnist", lambda: SimpleNamespace(source="toy"))
    execute.clear_if_stale(book)
    return book


def test_nbval_checks_what_the_build_executed(built):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    cache_as_executed(built, write_checked(built, "same", "42\n"), printed("42\n"))
    cache_as_executed(built, write_checked(built, "differs", "43\n"), printed("42\n"))
    cache_as_executed(built, write_checked(built, "raised", "42\n"), error)
    cache_as_executed(built, write_checked(built, "changed", "42\n"), printed("42\n"))
    write_checked(built, "changed", "35\n", "print(5 * 7)")
    damaged = cache_as_executed(built, write_checked(built, "damaged", "42\n"), printed("another\n"))
    key = get_cache(built / "_build" / ".jupyter_cache").match_cache_notebook(execute.read(damaged)).hashkey
    (built / "_build" / ".jupyter_cache" / "executed" / key / "base.ipynb").write_text("{")
    said, results, ran = nbval(built)
    assert [name for name, result in results.items() if result == "FAILED"] == ["differs", "raised"], said
    assert sorted(results) == ["changed", "damaged", "differs", "raised", "same"], said
    assert "Cell outputs differ" in said
    assert "ValueError: no" in said
    assert ran == {"changed", "damaged"}, "the cache does not have them as they are"


def test_nbval_executes_where_the_build_is_of_another_state(built):
    cache_as_executed(built, write_checked(built, "same", "42\n"), printed("of another state\n"))
    cache_as_executed(built, write_checked(built, "raises", "42\n", "1 / 0"), printed("42\n"))
    write(built / "interp_helpers" / "other.py", "")
    said, results, ran = nbval(built)
    assert results == {"same": "PASSED", "raises": "FAILED"}, said
    assert "ZeroDivisionError" in said
    assert ran == {"same", "raises"}
