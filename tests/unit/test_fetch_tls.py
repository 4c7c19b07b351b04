"""Over TLS the name is proved, though the address was chosen by us."""

import datetime as dt
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sluice.core.errors import DependencyDown, Refused
from sluice.media.fetching.fetcher import Fetcher
from sluice.settings import Fetch, Media
from sluice_schemas import Image
from tests.support.raw_http import talk
from tests.support.stores import BODY, Store, store

PATIENCE_S = 60
NOT_YET, EXPIRED, SELF_SIGNED, NO_ISSUER, OTHER_NAME = 9, 10, 18, 20, 62  # X509_V_ERR_* of OpenSSL


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates; `trusted` is what a client needs to believe it."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    path: Path

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.path)

    def serving(self, name: str, *, begins_days: int = -1, ends_days: int = 1) -> ssl.SSLContext:
        """Return what a server of this name serves with; the days are counted from now."""
        path = self.folder / f"{name}{begins_days}{ends_days}.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(secret + signed(name, key, self.key, days=(begins_days, ends_days)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    days: tuple[int, int] = (-9, 9),
) -> bytes:
    """Return a certificate for a name, and for an authority when the key signs for itself."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name if key is by else "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=key is by, path_length=None), critical=True)
    )
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    (folder / "authority.pem").write_bytes(signed("authority", key, key))
    return Authority(folder, key, folder / "authority.pem")


@pytest.fixture(scope="module")
def shop(authority: Authority) -> Iterator[Store]:
    with store(authority.serving("images.test")) as made:
        yield made


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch fail with its first failure: no deadline leaves room for the pause before a second try."""
    monkeypatch.setattr("sluice.media.fetching.fetcher._BACKOFF_S", 1e6)


def fetcher(shop: Store, trusted: ssl.SSLContext, **changes: object) -> Fetcher:
    settings = {
        "allowed_hosts": (".test",),
        "allowed_ports": (shop.port,),
        "allow_private_addresses": True,
        "connect_timeout_s": 30.0,
        "first_byte_timeout_s": 30.0,
        "total_timeout_s": 30.0,
    }
    return Fetcher(Fetch.model_validate(settings | changes), Media(), resolve=lambda *_: ["127.0.0.1"], tls=trusted)


def why_not(shop: Store, trusted: ssl.SSLContext, host: str = "images.test") -> int:
    """Return OpenSSL's number of the reason why a server was not believed; the request was never said."""
    with fetcher(shop, trusted) as made, pytest.raises(DependencyDown) as down:
        made.submit(Image(uri=shop.url("/ok", host, "https"))).result(PATIENCE_S)
    assert shop.asked == []
    error: BaseException | None = down.value
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    assert error is not None
    return error.verify_code


def test_the_name_is_sent_and_proved_while_the_checked_address_is_connected_to(
    shop: Store, authority: Authority
) -> None:
    with fetcher(shop, authority.trusted) as made:
        uri = shop.url("/ok", "images.test", "https")
        assert made.submit(Image(uri=uri)).result(PATIENCE_S) == BODY


@pytest.mark.parametrize(
    ("served", "days", "expected"),
    [
        ("other.test", (-1, 1), OTHER_NAME),
        ("test", (-1, 1), OTHER_NAME),
        ("*.images.test", (-1, 1), OTHER_NAME),
        ("127.0.0.1", (-1, 1), OTHER_NAME),
        ("images.test", (-2, -1), EXPIRED),
        ("images.test", (1, 2), NOT_YET),
    ],
)
def test_another_name_or_another_time_is_not_believed(
    authority: Authority, served: str, days: tuple[int, int], expected: int
) -> None:
    with store(authority.serving(served, begins_days=days[0], ends_days=days[1])) as made:
        assert why_not(made, authority.trusted) == expected


def test_an_unknown_authority_is_not_believed(authority: Authority) -> None:
    with store(authority.serving("images.test")) as made:
        assert why_not(made, ssl.create_default_context()) == NO_ISSUER


def test_a_certificate_that_vouches_for_itself_is_not_believed(authority: Authority) -> None:
    path, key = authority.folder / "self.pem", ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + signed("images.test", key, key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with store(context) as made:
        assert why_not(made, ssl.create_default_context()) == SELF_SIGNED


def test_a_server_without_tls_gets_no_plain_question(authority: Authority) -> None:
    with store() as plain, fetcher(plain, authority.trusted) as made, pytest.raises(DependencyDown):
        made.submit(Image(uri=plain.url("/ok", "images.test", "https"))).result(PATIENCE_S)
    assert plain.asked == []


def test_a_handshake_that_never_ends_is_left_at_the_deadline(authority: Authority) -> None:
    with talk(b"", repeat=b"") as silent:
        shop = Store(silent.port)
        with fetcher(shop, authority.trusted, total_timeout_s=0.5) as made, pytest.raises(DependencyDown):
            made.submit(Image(uri=shop.url("/ok", "images.test", "https"))).result(PATIENCE_S)


def test_a_redirect_from_https_to_http_is_refused(shop: Store, authority: Authority) -> None:
    changes = {"max_redirects": 1, "allowed_schemes": ("https", "http")}
    uri = shop.url(f"/to/http:~~images.test:{shop.port}~ok", "images.test", "https")
    with fetcher(shop, authority.trusted, **changes) as made, pytest.raises(Refused) as refusal:
        made.submit(Image(uri=uri)).result(PATIENCE_S)
    assert refusal.value.reason == "reference_redirect"
