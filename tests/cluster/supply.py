"""A registry on loopback with images in it, for what builds, signs, verifies and promotes them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.platform.conftest import ROOT, TOOLS, tool

PLATFORM = ROOT / "platform"
LAB, BASE = "localhost/smartops-chaos-lab:1", "localhost/python-base:1"
SERVICES = ("erp-simulator", "orchestrator", "policy-engine", "agent-detect", "agent-diagnose")
# cosign signs by its public log unless told.
_OFFLINE = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "rekorTlogUrls": [], "tsaUrls": []}


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{TOOLS}:{os.environ['PATH']}:/var/tmp/testbed/bin"
    settings = {**os.environ, "PATH": path, "STORAGE_DRIVER": "vfs", **environment}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=settings)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A registry with the lab's image under the names of all of SmartOps' services, with the tag 1.4.0; its address.

    TEST_REGISTRY is where to listen, if the cluster's nodes are not on this machine's loopback.
    """
    tool("crane")
    if shutil.which("buildah") is None or call("buildah", "inspect", "--type=image", LAB).returncode != 0:
        pytest.skip("the lab's image is not here: ./platform/testbed/base-image and ./platform/lab/build")
    folder.mkdir(exist_ok=True)
    address = os.environ.get("TEST_REGISTRY", "")
    listen = f":{address.rpartition(':')[2]}" if address else ""
    if not address:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = listen = f"127.0.0.1:{free.getsockname()[1]}"
    command = [TOOLS / "crane", "registry", "serve", "--address", listen, "--disk", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first = f"{address}/team/smartops-{SERVICES[0]}:1.4.0"
        pushed = call("buildah", "push", "--quiet", "--tls-verify=false", LAB, f"docker://{first}")
        assert pushed.returncode == 0, pushed.stderr
        # An image of its own, not another name of the one on the node: what the kubelet notes of an image that it has
        # pulled would be noted of that one, too.
        own = call("crane", "mutate", first, "--label", f"smartops.io/test={uuid.uuid4().hex}", "--tag", first)
        assert own.returncode == 0, own.stderr
        for name in SERVICES[1:]:
            copied = call("crane", "copy", first, f"{address}/team/smartops-{name}:1.4.0")
            assert copied.returncode == 0, copied.stderr
        yield f"{address}/team"
    finally:
        server.terminate()
        server.wait()


def base() -> list[str]:
    """Arguments for platform/build, where no registry of images can be reached."""
    return ["--base", BASE] if call("buildah", "inspect", "--type=image", BASE).returncode == 0 else []


class Signer:
    """Keys, and the settings with which scripts sign and verify by them, offline."""

    def __init__(self, folder: Path, name: str) -> None:
        tool("cosign")
        folder.mkdir(exist_ok=True)
        self.private, self.public = folder / f"{name}.key", folder / f"{name}.pub"
        made = call("cosign", "generate-key-pair", "--output-key-prefix", folder / name, COSIGN_PASSWORD="")
        assert made.returncode == 0, made.stderr
        config = folder / "offline.json"
        config.write_text(json.dumps(_OFFLINE), encoding="utf-8")
        self.signing = {
            "COSIGN_PASSWORD": "",
            "COSIGN_KEY": str(self.private),
            "COSIGN_OPTIONS": f"--signing-config={config} --allow-http-registry",
        }
        self.verifying = {
            "COSIGN_KEY": str(self.public),
            "COSIGN_OPTIONS": "--insecure-ignore-tlog --allow-http-registry",
        }
