"""Over TLS the name is proved, though the address was chosen by us."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sluice.core.errors import DependencyDown, Refused
from sluice.media.fetch import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a self-signed certificate for images.test, key included."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "images.test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("images.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "images.test.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def shop(certificate: Path) -> Iterator[Store]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with store(context) as made:
        yield made


def fetcher(shop: Store, trusted: ssl.SSLContext, **changes: object) -> Fetcher:
    settings = {
        "allowed_hosts": (".test",),
        "allowed_ports": (shop.port,),
        "allow_private_addresses": True,
        "total_timeout_s": 2.0,
    }
    return Fetcher(Fetch.model_validate(settings | changes), Media(), resolve=lambda *_: ["127.0.0.1"], tls=trusted)


def test_the_name_is_sent_and_proved_while_the_checked_address_is_connected_to(shop: Store, certificate: Path) -> None:
    with fetcher(shop, ssl.create_default_context(cafile=certificate), total_timeout_s=20.0) as made:
        uri = shop.url("/ok", "images.test", "https")
        assert made.submit(Image(uri=uri)).result(PATIENCE_S) == BODY


@pytest.mark.parametrize("host", ["other.test", "images.test"])
def test_another_name_or_an_unknown_authority_is_not_believed(shop: Store, certificate: Path, host: str) -> None:
    trusted = ssl.create_default_context(cafile=certificate) if host == "other.test" else ssl.create_default_context()
    asked = len(shop.asked)
    with fetcher(shop, trusted) as made, pytest.raises(DependencyDown):
        made.submit(Image(uri=shop.url("/ok", host, "https"))).result(PATIENCE_S)
    assert len(shop.asked) == asked


def test_a_redirect_from_https_to_http_is_refused(shop: Store, certificate: Path) -> None:
    trusted = ssl.create_default_context(cafile=certificate)
    changes = {"max_redirects": 1, "allowed_schemes": ("https", "http"), "total_timeout_s": 20.0}
    uri = shop.url(f"/to/http:~~images.test:{shop.port}~ok", "images.test", "https")
    with fetcher(shop, trusted, **changes) as made, pytest.raises(Refused) as refusal:
        made.submit(Image(uri=uri)).result(PATIENCE_S)
    assert refusal.value.reason == "reference_redirect"
