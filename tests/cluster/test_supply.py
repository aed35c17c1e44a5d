"""From images to digests that are signed: a registry on loopback, platform/build and platform/verify."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.platform.conftest import CHART, ROOT, TOOLS, tool

PLATFORM = ROOT / "platform"
LAB, BASE = "localhost/smartops-chaos-lab:1", "localhost/python-base:1"
SERVICES = ("erp-simulator", "orchestrator", "policy-engine", "agent-detect", "agent-diagnose")
OFFLINE = '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogUrls":[],"tsaUrls":[]}'


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{TOOLS}:{os.environ['PATH']}"
    settings = {**os.environ, "PATH": path, "STORAGE_DRIVER": "vfs", **environment}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=settings)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With the lab's image under the names of all of SmartOps' services; its address and folder."""
    tool("crane")
    if shutil.which("buildah") is None or call("buildah", "inspect", "--type=image", LAB).returncode != 0:
        pytest.skip("the lab's image is not here: ./platform/testbed/base-image and ./platform/lab/build")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    command = [TOOLS / "crane", "registry", "serve", "--address", address, "--disk", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = f"{address}/team/smartops-{SERVICES[0]}:1.4.0"
        pushed = call("buildah", "push", "--quiet", "--tls-verify=false", LAB, f"docker://{first}")
        assert pushed.returncode == 0, pushed.stderr
        for name in SERVICES[1:]:
            copied = call("crane", "copy", first, f"{address}/team/smartops-{name}:1.4.0")
            assert copied.returncode == 0, copied.stderr
        yield f"{address}/team"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def images(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What platform/build writes."""
    done = call(PLATFORM / "build", registry, "1.4.0", "--base", BASE)
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
    done = call(PLATFORM / "build", registry, "9.9.9", "--base", BASE)
    assert done.returncode == 1
    assert "smartops-erp-simulator:9.9.9" in done.stderr


def test_only_signed_images_pass(images: Path, registry: str, tmp_path: Path) -> None:
    tool("cosign")
    config = tmp_path / "offline.json"
    config.write_text(OFFLINE, encoding="utf-8")
    for key in ("ours", "theirs"):
        call("cosign", "generate-key-pair", "--output-key-prefix", tmp_path / key, COSIGN_PASSWORD="")
    verified = {
        "COSIGN_KEY": str(tmp_path / "ours.pub"),
        "COSIGN_OPTIONS": "--insecure-ignore-tlog --allow-http-registry",
    }
    unsigned = call(PLATFORM / "verify", images, **verified)
    assert unsigned.returncode == 1
    assert "is not signed as it should be" in unsigned.stderr
    signing = {"COSIGN_PASSWORD": "", "COSIGN_OPTIONS": f"--signing-config={config} --allow-http-registry"}
    done = call(
        PLATFORM / "build",
        registry,
        "1.4.0",
        "--base",
        BASE,
        "--sign",
        COSIGN_KEY=str(tmp_path / "ours.key"),
        **signing,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == images.read_text(encoding="utf-8"), "the same images, built again"
    passed = call(PLATFORM / "verify", images, **verified)
    assert passed.returncode == 0, passed.stderr
    other = call(PLATFORM / "verify", images, **{**verified, "COSIGN_KEY": str(tmp_path / "theirs.pub")})
    assert other.returncode == 1
    changed = re.sub(r"(sha256:)[0-9a-f]{8}", r"\g<1>00000000", images.read_text(encoding="utf-8"), count=1)
    forged = tmp_path / "forged.yaml"
    forged.write_text(changed, encoding="utf-8")
    assert call(PLATFORM / "verify", forged, **verified).returncode == 1


def test_a_tag_is_never_verified(registry: str) -> None:
    done = call(PLATFORM / "verify", f"{registry}/smartops-erp-simulator:1.4.0", COSIGN_KEY="any")
    assert done.returncode == 2
    assert "a tag can be moved" in done.stderr
