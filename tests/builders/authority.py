"""A certificate authority for tests: certificates that are good, old, revoked or of somebody else, and its CRL."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate with its key, as files."""

    certificate: Path
    key: Path
    made: x509.Certificate

    @property
    def sha256(self) -> str:
        """Its fingerprint."""
        return self.made.fingerprint(hashes.SHA256()).hex()


@dataclass(slots=True)
class Authority:
    """Issues certificates into a folder."""

    folder: Path
    name: str = "Test authority"
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        """Write its own certificate."""
        self.folder.mkdir(parents=True, exist_ok=True)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self.name, self._key.public_key(), days=365.0)
        made = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        return self.folder / "authority.pem"

    def issue(self, name: str, *, days: float = 90.0, host: str = "127.0.0.1") -> Issued:
        """A certificate for `name` and `host` that ends in so many days; negative: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(host))]
        builder = self._builder(name, key.public_key(), days=days)
        made = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self._key, hashes.SHA256()
        )
        certificate, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Issued(certificate=certificate, key=key_file, made=made)

    def revoke(self, *revoked: Issued, days: float = 30.0) -> Path:
        """The list of what is revoked, which ends in so many days."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_named(self.name))
            .last_update(now - 60 * DAY)
            .next_update(now + days * DAY)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.made.serial_number).revocation_date(now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        path = self.folder / "revoked.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(self, name: str, key: ec.EllipticCurvePublicKey, *, days: float) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 400 * DAY)
            .not_valid_after(now + days * DAY)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
