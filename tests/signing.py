"""Signs pictures with c2pa-python and a certificate made for the test. It builds; it asserts nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from typing import Any

import pytest

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MANIFEST = {
    "claim_generator_info": [{"name": "a test", "version": "1"}],
    "assertions": [
        {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": SOURCE}]}}
    ],
}
USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def signed(data: bytes, form: str) -> bytes:
    """Return the picture with a signed manifest."""
    c2pa = pytest.importorskip("c2pa", reason="the signer is missing: pip install --group provenance")
    written = BytesIO()
    mime_type = "image/svg+xml" if form == "SVG" else f"image/{form.lower()}"
    c2pa.Builder(json.dumps(MANIFEST)).sign(signer(), mime_type, BytesIO(data), written)
    return written.getvalue()


@cache
def signer() -> Any:
    """Return a signer whose certificate is issued by an authority on no trust list."""
    import c2pa

    chain, key = certificates()
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))


def certificates() -> tuple[bytes, bytes]:
    """Return a certificate with that of its authority, and its key, as PEM."""
    pytest.importorskip("cryptography", reason="certificates are made with it: pip install --group provenance")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    since = datetime.now(UTC) - timedelta(days=1)

    def named(name: str) -> x509.Name:
        names = {NameOID.COMMON_NAME: name, NameOID.ORGANIZATION_NAME: "A test"}
        return x509.Name([x509.NameAttribute(*each) for each in names.items()])

    def certificate(name: str, public: Any, usages: set[str], *others: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            named("authority"), named(name), public, x509.random_serial_number(), since, since + timedelta(days=30)
        )
        is_authority = name == "authority"
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**{each: each in usages for each in USAGES}), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        for each in others:
            builder = builder.add_extension(each, critical=False)
        return builder.sign(authority_key, hashes.SHA256())

    authority = certificate("authority", authority_key.public_key(), {"key_cert_sign", "crl_sign"})
    own = certificate(
        "signer",
        key.public_key(),
        {"digital_signature"},
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return own.public_bytes(pem) + authority.public_bytes(pem), secret
