"""image_bom: an image's files as a tar stream at stdin (`crane export IMAGE -`) -> its bill of materials.

usage: image_bom.py REPOSITORY@sha256:...      In CycloneDX 1.6: what is in it by the word of its package managers:
Debian's packages, Python's, and a Python that was built beside them. One image has one bill: no time, nothing random.
"""

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]
_DPKG = re.compile(r"^\.?/?var/lib/dpkg/(status|status\.d/[^/]+)$")
_RELEASE = re.compile(r"^\.?/?(etc|usr/lib)/os-release$")
_PYTHON = re.compile(r"/(?:site|dist)-packages/[^/]+\.(?:dist-info/METADATA|egg-info/PKG-INFO)$")
_BUILT = re.compile(r"^\.?/?usr/local/include/python3\.\d+/patchlevel\.h$")


def main() -> None:
    if len(sys.argv) != 2 or "@sha256:" not in sys.argv[1]:
        sys.exit("usage: crane export IMAGE - | image_bom.py REPOSITORY@sha256:...")
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
        found = bill(sys.argv[1], dict(texts(archive)))
    if not found["components"]:
        sys.exit(f"{sys.argv[1]} has neither packages of Debian nor of Python: nothing can be said of it")
    json.dump(found, sys.stdout, indent=1)


def texts(archive: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    """The files that tell of packages, by path."""
    for member in archive:
        wanted = any(one.search(member.name) for one in (_DPKG, _RELEASE, _PYTHON, _BUILT))
        if wanted and member.isfile() and (file := archive.extractfile(member)) is not None:
            yield member.name, file.read().decode("utf-8", "replace")


def bill(image: str, files: dict[str, str]) -> dict[str, Any]:
    """Pure: the bill of an image whose files these are."""
    repository, _, digest = image.partition("@")
    release = next((dict(_pairs(text)) for path, text in files.items() if _RELEASE.search(path)), {})
    system = {
        "type": "operating-system",
        "name": release.get("ID", "unknown"),
        "version": release.get("VERSION_ID", ""),
    }
    packages = [one for path, text in sorted(files.items()) for one in _components(path, text, system)]
    unique = {one["purl"]: one for one in packages}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": image,
                "name": repository,
                "version": digest,
                "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
            }
        },
        "components": ([system] if release else []) + [unique[purl] for purl in sorted(unique)],
    }


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            yield key, value.strip().strip("\"'")


def _components(path: str, text: str, system: Component) -> Iterator[Component]:
    if _DPKG.search(path):
        for part in re.split(r"\n\n+", text):
            one = HeaderParser().parsestr(part)
            if one["Package"] and "deinstall" not in (one["Status"] or "install"):
                yield _debian(one["Package"], one["Version"], one["Architecture"], one["Source"], system)
    elif _PYTHON.search(path):
        one = HeaderParser().parsestr(text)
        name = re.sub(r"[-_.]+", "-", one["Name"]).lower()
        yield _component(name, one["Version"], f"pkg:pypi/{name}@{one['Version']}")
    elif _BUILT.search(path) and (version := re.search(r'PY_VERSION\s+"([^"]+)"', text)):
        yield _component("python", version[1], f"pkg:generic/python@{version[1]}")


def _debian(name: str, version: str, architecture: str, source: str | None, system: Component) -> Component:
    """`source`: the package from which it was built, whose advisories are its own; left out if it has the same name."""
    more = [f"arch={architecture}", f"distro={system['name']}-{system['version']}"]
    if source:
        more.append(f"upstream={quote(source.split()[0], safe='')}")
    where = f"pkg:deb/{system['name']}/{quote(name, safe='')}@{quote(version, safe='')}"
    return _component(name, version, f"{where}?{'&'.join(more)}")


def _component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main()
