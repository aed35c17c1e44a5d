"""`attest`: a statement that others can verify, and that covers every file of a campaign."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.statements import envelope, statement
from smartops_chaos.statements.envelope import BadSignature
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import CampaignFolder
from tests.platform.conftest import tool

DIGEST = "sha256:" + "a" * 64
IMAGE = f"registry.example.com/erp@{DIGEST}"


def keys(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """A private and a public key of the kind that cosign makes."""
    private = ec.generate_private_key(ec.SECP256R1())
    secret, public = folder / f"{name}.pem", folder / f"{name}.pub"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return secret, public


@pytest.fixture
def tested(registered: Path) -> Path:
    """A campaign that says it ran the image, as one on a cluster does."""
    file = registered / "campaign.json"
    told = json.loads(file.read_text())
    told["provenance"]["Images"] = f"erp erp:1 ({DIGEST[:19]})"
    file.write_text(json.dumps(told))
    store = CampaignFolder(registered)
    hash_list.seal_campaign(store, registration.digest(store))
    return registered


def test_a_statement_is_signed_over_the_whole_campaign(cli: Any, tested: Path, tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    done = cli("attest", "standin-1", "--image", IMAGE, "--key", secret)
    assert done.returncode == 0, done.stderr
    signed = tested / "statement.dsse.json"
    assert done.stdout.strip().endswith("statement.dsse.json")
    found = statement.parse(envelope.verified(envelope.read(signed), public))
    assert found == json.loads((tested / "statement.json").read_text())
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["subject"] == [{"name": "registry.example.com/erp", "digest": {"sha256": "a" * 64}}]
    assert statement.hash_list_of(found) == hash_list.sha256(tested / "hashes.json")
    assert found["predicate"]["result"] == "FAILED"  # of one repeat nothing is proven
    assert cli("verify", "standin-1").returncode == 0  # the statement is beside the list


def test_openssl_verifies_the_same_signature(cli: Any, tested: Path, tmp_path: Path) -> None:
    """Nothing of ours is needed: the encoding is DSSE's, the signature ECDSA over SHA-256."""
    secret, public = keys(tmp_path)
    cli("attest", "standin-1", "--image", IMAGE, "--key", secret)
    found = json.loads((tested / "statement.dsse.json").read_text())
    payload = base64.b64decode(found["payload"])
    kind = found["payloadType"]
    (tmp_path / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(found["signatures"][0]["sig"]))
    words = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", "sig", "signed"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "Verified OK"), done.stderr


def test_cosigns_own_key_signs_offline_and_needs_no_cosign_to_verify(
    cli: Any, tested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Path(tool("cosign"))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COSIGN_PASSWORD", "a password")
    made = subprocess.run([program, "generate-key-pair"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    done = cli("attest", "standin-1", "--image", IMAGE, "--key", tmp_path / "cosign.key")
    assert done.returncode == 0, done.stderr
    found = statement.parse(envelope.verified(envelope.read(tested / "statement.dsse.json"), tmp_path / "cosign.pub"))
    assert found == json.loads((tested / "statement.json").read_text())


def test_without_cosign_a_key_of_its_own_is_told(cli: Any, tested: Path, tmp_path: Path) -> None:
    assert tested.exists()
    (tmp_path / "cosign.key").write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    done = cli("attest", "standin-1", "--image", IMAGE, "--key", tmp_path / "cosign.key")
    assert done.returncode == 4
    assert "cosign is missing" in done.stderr


def test_another_key_and_a_changed_payload_are_refused(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    _, other = keys(tmp_path, "other")
    (tmp_path / "signed").write_bytes(envelope.sign(b"{}", secret))
    found = envelope.read(tmp_path / "signed")
    assert envelope.verified(found, public) == b"{}"
    with pytest.raises(BadSignature, match="not signed by the owner"):
        envelope.verified(found, other)
    changed = found.model_copy(update={"payload": base64.b64encode(b"[]").decode()})
    with pytest.raises(BadSignature, match="not signed by the owner"):
        envelope.verified(changed, public)
    retyped = found.model_copy(update={"payload_type": "text/plain"})
    with pytest.raises(BadSignature, match="not signed by the owner"):
        envelope.verified(retyped, public)


def test_a_bundle_of_cosign_has_its_envelope_inside(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    inner = json.loads(envelope.sign(b"{}", secret))
    bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": inner}
    (tmp_path / "bundle").write_text(json.dumps(bundle))
    assert envelope.verified(envelope.read(tmp_path / "bundle"), public) == b"{}"
    (tmp_path / "bundle").write_text("{}")
    with pytest.raises(BadSignature, match="no DSSE envelope"):
        envelope.read(tmp_path / "bundle")


@given(st.text(max_size=20), st.binary(max_size=40), st.text(max_size=20), st.binary(max_size=40))
def test_no_two_contents_are_encoded_alike(one_type: str, one: bytes, other_type: str, other: bytes) -> None:
    same = (one_type, one) == (other_type, other)
    assert (envelope.encoded(one_type, one) == envelope.encoded(other_type, other)) == same


def test_a_campaign_that_does_not_verify_is_not_attested(cli: Any, tested: Path) -> None:
    (tested / "events.ndjson").write_text("")
    done = cli("attest", "standin-1", "--image", IMAGE)
    assert done.returncode == 1
    assert "events.ndjson was changed" in done.stdout
    assert not (tested / "statement.json").exists()


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("erp:latest", "has no digest"),
        ("erp@sha256:" + "b" * 64, "did not run"),
    ],
)
def test_an_image_that_was_not_tested_is_refused(cli: Any, tested: Path, image: str, told: str) -> None:
    assert tested.exists()
    done = cli("attest", "standin-1", "--image", image)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_campaign_without_a_list_is_not_attested(cli: Any) -> None:
    sample = Path(__file__).parents[2] / "results" / "sample"
    done = cli("attest", sample, "--image", IMAGE)
    assert done.returncode == 2
    assert "did not run" in done.stderr
