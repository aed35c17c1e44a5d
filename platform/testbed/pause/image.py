"""Write a one-file image for the pods' sandboxes to stdout. usage: image.py BINARY"""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

ARCHITECTURES = {62: "amd64", 183: "arm64"}  # by the ELF header's machine


def tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


binary = Path(sys.argv[1]).read_bytes()
layer = tar({"pause": binary}, 0o755)
digest = hashlib.sha256(layer).hexdigest()
config = json.dumps(
    {
        "architecture": ARCHITECTURES[int.from_bytes(binary[18:20], "little")],
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
).encode()
config_name = f"{hashlib.sha256(config).hexdigest()}.json"
manifest = [{"Config": config_name, "RepoTags": ["localhost/pause:1"], "Layers": [f"{digest}/layer.tar"]}]
files = {f"{digest}/layer.tar": layer, config_name: config, "manifest.json": json.dumps(manifest).encode()}
sys.stdout.buffer.write(tar(files))
