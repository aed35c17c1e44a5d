"""From images to digests that are signed: a registry on loopback, platform/build and platform/verify."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.supply import PLATFORM, Signer, base, call, serving
from tests.platform.conftest import CHART, tool


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module")
def images(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What platform/build writes."""
    done = call(PLATFORM / "build", registry, "1.4.0", *base())
    assert done.returncode == 0, done.stderr
    file = tmp_path_factory.mktemp("built") / "images.yaml"
    file.write_text(done.stdout, encoding="utf-8")
    return file


def test_a_build_names_every_image_by_its_digest(images: Path, registry: str, tmp_path: Path) -> None:
    told = yaml.safe_load(images.read_text(encoding="utf-8"))
    assert told["erp-simulator"]["image"]["repository"] == f"{registry}/smartops-erp-simulator"
    chart = tmp_path / "chart"
    call(PLATFORM / "helm" / "prepare", chart)
    for environment in ("stage", "prod"):
        values = CHART / f"values-{environment}.yaml"
        made = call(tool("helm"), "template", "x", chart, "--values", values, "--values", images)
        assert made.returncode == 0, made.stderr
        named = re.findall(r"^ +image: (.*)$", made.stdout, re.MULTILINE)
        assert len(named) >= 6
        assert all(re.fullmatch(rf"{registry}/smartops-[a-z-]+@sha256:[0-9a-f]{{64}}", one) for one in named)


def test_an_image_that_is_not_there_stops_the_build(registry: str) -> None:
    done = call(PLATFORM / "build", registry, "9.9.9", *base())
    assert done.returncode == 1
    assert "smartops-erp-simulator:9.9.9" in done.stderr


def test_only_signed_images_with_a_bill_pass(images: Path, registry: str, tmp_path: Path) -> None:
    ours, theirs = Signer(tmp_path, "ours"), Signer(tmp_path, "theirs")
    unsigned = call(PLATFORM / "verify", images, **ours.verifying)
    assert unsigned.returncode == 1
    assert "is not signed as it should be" in unsigned.stderr
    done = call(PLATFORM / "build", registry, "1.4.0", *base(), "--sign", **ours.signing)
    assert done.returncode == 0, done.stderr
    assert done.stdout == images.read_text(encoding="utf-8"), "the same images, built again"
    passed = call(PLATFORM / "verify", "--bills", tmp_path / "bills", images, **ours.verifying)
    assert passed.returncode == 0, passed.stderr
    other = call(PLATFORM / "verify", images, **theirs.verifying)
    assert other.returncode == 1
    changed = re.sub(r"(sha256:)[0-9a-f]{8}", r"\g<1>00000000", images.read_text(encoding="utf-8"), count=1)
    forged = tmp_path / "forged.yaml"
    forged.write_text(changed, encoding="utf-8")
    assert call(PLATFORM / "verify", forged, **ours.verifying).returncode == 1

    bill = json.loads((tmp_path / "bills" / "smartops-erp-simulator.cdx.json").read_text(encoding="utf-8"))
    told = yaml.safe_load(images.read_text(encoding="utf-8"))["erp-simulator"]["image"]
    assert bill["metadata"]["component"]["bom-ref"] == f"{told['repository']}@{told['digest']}"
    kinds = {re.match(r"pkg:(\w+)/", one.get("purl", "pkg:os/"))[1] for one in bill["components"]}  # type: ignore[index]
    assert {"deb", "pypi"} <= kinds

    # Signed, but without a bill: another name of the same image.
    image = f"{registry}/smartops-other@{told['digest']}"
    call("crane", "copy", f"{told['repository']}@{told['digest']}", f"{registry}/smartops-other:1")
    options = ours.signing["COSIGN_OPTIONS"].split()
    signed = call("cosign", "sign", "-y", "--key", ours.private, *options, image, COSIGN_PASSWORD="")
    assert signed.returncode == 0, signed.stderr
    refused = call(PLATFORM / "verify", image, **ours.verifying)
    assert refused.returncode == 1
    assert "no signed statement of what is in it" in refused.stderr


def test_a_bill_names_what_the_package_managers_name(registry: str) -> None:
    digest = call("crane", "digest", f"{registry}/smartops-erp-simulator:1.4.0").stdout.strip()
    image = f"{registry}/smartops-erp-simulator@{digest}"
    script = f"crane export {image} - | python3 {PLATFORM}/image_bom.py {image}"
    first, again = (call("bash", "-o", "pipefail", "-c", script) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout, "one image has one bill"
    found = json.loads(first.stdout)["components"]
    inside = call("bash", "-o", "pipefail", "-c", f"crane export {image} - | tar -xOf - var/lib/dpkg/status").stdout
    stanzas = [dict(re.findall(r"^(Package|Status): (.*)$", one, re.MULTILINE)) for one in inside.split("\n\n")]
    installed = [one["Package"] for one in stanzas if one.get("Status") == "install ok installed"]
    assert sorted(one["name"] for one in found if one.get("purl", "").startswith("pkg:deb/")) == sorted(installed)


def test_a_tag_is_never_verified(registry: str) -> None:
    done = call(PLATFORM / "verify", f"{registry}/smartops-erp-simulator:1.4.0", COSIGN_KEY="any")
    assert done.returncode == 2
    assert "a tag can be moved" in done.stderr
