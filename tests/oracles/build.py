"""Make the golden arrays: environments under .oracles, the inputs, and one run of every library.

    python tests/oracles/build.py

It needs pip and Python 3.11 (the newest that TensorFlow 2.15 runs on), and takes about five minutes the first time.
With R and its package acepack 1.4.1 (Debian: r-base-core, r-cran-acepack), it runs those too.
An environment whose pins have not changed is used again; logs are in .oracles.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".oracles"
RUNS = (
    ("keras3", "networks.py"),
    ("keras2", "keras_vis_041.py"),
    ("keras3", "tf_keras_vis_087.py"),
    ("keras3", "xplique_golden.py"),
    ("keras3", "acepack_141.py"),
    ("keras3", "ace_80_digits.py"),
    ("torch", "torch_networks.py"),
)
NEEDS = {"acepack_141.py": "Rscript"}
# oneDNN rounds differently from one processor to the next
SETTINGS = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "-1",
    "MPLBACKEND": "Agg",
}


def python_311():
    """Return the command of a Python 3.11."""
    command = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if command is None:
        sys.exit("oracles: no python3.11 found; TensorFlow 2.15 needs it, and the pins are made for it")
    return command


def run(command, log):
    """Run a command with its output in a log; end with the last lines of the log if it fails."""
    with open(log, "a") as file:
        result = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | SETTINGS)
    if result.returncode:
        sys.exit(
            "\n".join([*log.read_text().splitlines()[-15:], f"oracles: failed, see {log.relative_to(HERE.parents[1])}"])
        )


def environment(name):
    """Return the Python of an environment, which is made if it is missing or its pins have changed."""
    folder, pins = FOLDER / name, HERE / f"requirements-{name}.txt"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = folder / pins.name
    if not installed.exists() or installed.read_text() != pins.read_text():
        print(f"Installing {pins.name} into .oracles/{name} (a minute or two) ...", flush=True)
        log = FOLDER / f"{name}.log"
        log.unlink(missing_ok=True)
        run([python_311(), "-m", "venv", "--clear", folder], log)
        run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", pins], log)
        shutil.copy(pins, installed)
    return python


def main():
    FOLDER.mkdir(exist_ok=True)
    # neither git nor ruff looks into a folder that ignores itself
    (FOLDER / ".gitignore").write_text("*\n")
    for name, script in RUNS:
        if script in NEEDS and shutil.which(NEEDS[script]) is None:
            print(f"{script}: there is no {NEEDS[script]} here; its golden numbers stay as they are")
            continue
        python, log = environment(name), FOLDER / f"{Path(script).stem}.log"
        log.unlink(missing_ok=True)
        start = time.perf_counter()
        run([python, HERE / script], log)
        print(f"{script}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
