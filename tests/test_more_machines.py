"""What the page on clusters shows is run, as one script, in a folder of its own."""

import re
import subprocess
import sys
from textwrap import indent

from conftest import ROOT


def test_the_code_of_the_page_runs(tmp_path):
    page = (ROOT / "book" / "more_machines.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) == 2
    script = tmp_path / "page.py"
    script.write_text('if __name__ == "__main__":\n' + indent("\n".join(blocks), "    "), encoding="utf-8")
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    written = sorted(path.name for path in (tmp_path / "ranking").iterdir())
    assert written == ["ranking.json", "relu1.parquet", "relu1.sha256", "relu2.parquet", "relu2.sha256"]
