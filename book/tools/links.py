"""Write the public address of the repository, which stands in _config.yml, into every badge and setup cell.

python book/tools/links.py            write
python book/tools/links.py --check    write nothing, fail if a file is not as it would be written
"""

import json
import re
import sys
from itertools import chain
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def main():
    stale = [path for path, text in written().items() if path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"links: not the address of _config.yml in {', '.join(path.name for path in stale)}; run make links")
    for path in stale:
        path.write_text(written()[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def written():
    """Return what each file with links in it should hold."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    repository, branch, site = config["repository"]["url"], config["repository"]["branch"], config["html"]["baseurl"]
    files = {ROOT / "README.md": readme((ROOT / "README.md").read_text(encoding="utf-8"), repository, branch, site)}
    files[ROOT / "book" / "index.md"] = to_colab(
        (ROOT / "book" / "index.md").read_text(encoding="utf-8"), repository, branch
    )
    notebooks = (ROOT / "notebooks").glob("*.ipynb"), (ROOT / "notebooks" / "audit").glob("*.ipynb")
    for path in sorted(chain(*notebooks)):
        name = path.relative_to(ROOT).as_posix()
        files[path] = notebook(path.read_text(encoding="utf-8"), name, repository, branch)
    return files


def notebook(text, name, repository, branch):
    content = json.loads(text)
    badges = f"[Open in Colab]({colab(repository, branch, name)})"
    badges += f" · [Source]({repository}/blob/{branch}/{name})"
    for cell in content["cells"]:
        source = "".join(cell["source"])
        source = re.sub(r"^\[Open in Colab\]\(.*$", lambda _: badges, source, flags=re.M)
        source = re.sub(r'(?<=@ git\+)[^"\s]+', lambda _: repository, source)
        cell["source"] = source.splitlines(keepends=True)
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def readme(text, repository, branch, site):
    text = re.sub(r"(?<=\[Read the book\]\()[^)]*", lambda _: f"{site}/", text)
    text = re.sub(r"(?<=git clone )\S+", lambda _: repository, text)
    text = re.sub(r'(?<=git\+)[^"\s]+', lambda _: repository, text)
    return to_colab(text, repository, branch)


def to_colab(text, repository, branch):
    link = re.compile(r"https://colab\.research\.google\.com/github/\S+?/(notebooks/[\w/]+\.ipynb)")
    return link.sub(lambda match: colab(repository, branch, match.group(1)), text)


def colab(repository, branch, path):
    return (
        repository.replace("https://github.com", "https://colab.research.google.com/github") + f"/blob/{branch}/{path}"
    )


if __name__ == "__main__":
    main()
