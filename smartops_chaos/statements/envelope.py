"""DSSE envelopes: a statement with a signature over it, as cosign and others write and read it.

The signature is ECDSA P-256 with SHA-256, in DER, over the pre-authentication encoding
(https://github.com/secure-systems-lab/dsse): "DSSEv1", the lengths and the contents of the payload's type and of the
payload. cosign's bundle has the same envelope below `dsseEnvelope`. Verifying needs a public key and no program.
"""

from __future__ import annotations

import base64
import binascii
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartops_chaos.errors import PreflightFailed, UsageError
from smartops_chaos.store.jsonfiles import content

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_INSTALL = 'pip install "smartops-chaos[sign]"'
_PATIENCE_S = 120.0
# cosign signs by its public log unless told; offline there is none.
_OFFLINE = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json", "rekorTlogUrls": [], "tsaUrls": []}


class _Signature(BaseModel):
    model_config = ConfigDict(extra="ignore")
    sig: str
    keyid: str = ""


class Envelope(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: list[_Signature] = Field(min_length=1)


class _Bundle(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    envelope: Envelope = Field(alias="dsseEnvelope")


class BadSignature(Exception):
    """Nobody has signed this, or somebody else has; the text says which."""


def encoded(payload_type: str, payload: bytes) -> bytes:
    """What is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def read(file: Path) -> Envelope:
    """An envelope or a bundle. Raises FileNotFoundError, BadSignature for what is neither."""
    text = content(file)
    for model in (Envelope, _Bundle):
        try:
            found = model.model_validate_json(text)
        except ValidationError:
            continue
        return found if isinstance(found, Envelope) else found.envelope
    raise BadSignature(f"{file} is no DSSE envelope, nor a bundle with one")


def verified(envelope: Envelope, public_key: Path) -> bytes:
    """The payload, which the owner of the key has signed. Raises BadSignature, UsageError for a key that is none."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError:
        raise UsageError("to verify a signature, the package cryptography is needed", _INSTALL) from None
    try:
        key = load_pem_public_key(content(public_key))
    except (ValueError, OSError):
        raise UsageError(f"{public_key} is no public key", "give the PEM file, such as cosign.pub") from None
    if not isinstance(key, EllipticCurvePublicKey):
        raise UsageError(f"{public_key} is no key for ECDSA", "give one as `cosign generate-key-pair` makes it")
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [base64.b64decode(one.sig, validate=True) for one in envelope.signatures]
    except binascii.Error:
        raise BadSignature("the envelope is damaged") from None
    signed = encoded(envelope.payload_type, payload)
    for signature in signatures:
        try:
            key.verify(signature, signed, ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return payload
    raise BadSignature(f"it is not signed by the owner of {public_key}")


def sign(payload: bytes, key: Path) -> bytes:
    """An envelope, signed with an unencrypted private key in PEM. Raises UsageError for another file."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise UsageError("to sign without cosign, the package cryptography is needed", _INSTALL) from None
    try:
        private = load_pem_private_key(content(key), password=None)
    except (ValueError, TypeError, OSError):
        raise UsageError(
            f"{key} is no unencrypted private key in PEM", "for cosign's own keys install cosign"
        ) from None
    if not isinstance(private, EllipticCurvePrivateKey):
        raise UsageError(f"{key} is no key for ECDSA", "openssl ecparam -name prime256v1 -genkey -noout -out KEY")
    signature = private.sign(encoded(PAYLOAD_TYPE, payload), ECDSA(SHA256()))
    found = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }
    return (json.dumps(found, indent=1) + "\n").encode()


def is_cosigns(key: Path) -> bool:
    """Whether it is a key of cosign's own, encrypted with COSIGN_PASSWORD. Raises OSError."""
    return b"SIGSTORE PRIVATE KEY" in content(key) or b"COSIGN PRIVATE KEY" in content(key)


def sign_by_cosign(payload: bytes, key: Path | None) -> bytes:
    """A bundle by cosign: with its key and offline, or without one keyless, as whoever the CI job is.

    Raises PreflightFailed where cosign is missing or refuses.
    """
    program = shutil.which("cosign")
    if program is None:
        raise PreflightFailed("cosign is missing", "install it, or give --key an unencrypted private key in PEM")
    with tempfile.TemporaryDirectory() as place:
        statement, config, bundle = (Path(place) / name for name in ("statement.json", "config.json", "bundle.json"))
        statement.write_bytes(payload)
        config.write_text(json.dumps(_OFFLINE), encoding="ascii")
        offline = ["--key", str(key), "--signing-config", str(config)] if key else []
        _run([program, "attest-blob", "--yes", *offline, "--statement", str(statement), "--bundle", str(bundle)])
        return bundle.read_bytes()


def _run(words: Sequence[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PreflightFailed(f"cosign did not end: {error}", "run it by hand and see what it asks for") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PreflightFailed(f"cosign refused with code {done.returncode}: {said}", "is COSIGN_PASSWORD set?")
