"""Which images a campaign ran against, as its provenance says."""

from __future__ import annotations

from smartops_chaos.kubernetes.cluster_target import images

DIGEST = "0123456789abcdef" * 4


def pod(*containers: dict[str, str]) -> dict[str, object]:
    return {"status": {"containerStatuses": list(containers)}}


def test_each_container_is_told_with_its_image_and_digest_once() -> None:
    erp = {"name": "erp", "image": "x/erp:latest", "imageID": f"x/erp@sha256:{DIGEST}"}
    starting = {"name": "erp", "image": "x/erp:latest", "imageID": ""}
    healer = {"name": "healer", "image": "x/healer:2", "imageID": f"x/healer@sha256:{DIGEST}"}
    moved = {**erp, "imageID": f"sha256:{DIGEST[::-1]}"}
    assert images([pod(erp), pod(starting), pod(erp, healer)]) == (
        "erp x/erp:latest (sha256:0123456789ab); healer x/healer:2 (sha256:0123456789ab)"
    )
    assert images([pod(erp), pod(moved)]) == (
        "erp x/erp:latest (sha256:0123456789ab) and x/erp:latest (sha256:fedcba987654)"
    )
    assert images([{"status": {}}]) == "no pod was running"
