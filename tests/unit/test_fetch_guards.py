"""Every way to write a reference that reaches what it must not."""

import pytest

from sluice.core.errors import Refused
from sluice.media.guards import Local, Rules, Stored, Web, check_addresses, parse

RULES = Rules(
    schemes=("https", "http", "s3", "file"),
    hosts=("img.example.com", ".cdn.example.com", "8.8.8.8", "[2606:4700::1111]", "127.0.0.1"),
    ports=(80, 443, 8443),
    buckets=("pictures",),
)


def web(scheme: str, host: str, port: int, target: str) -> Web:
    return Web(scheme, host, port, target)


@pytest.mark.parametrize(
    ("uri", "reference"),
    [
        ("https://img.example.com/a.png", web("https", "img.example.com", 443, "/a.png")),
        ("HTTPS://IMG.Example.COM/A.png", web("https", "img.example.com", 443, "/A.png")),
        ("http://img.example.com", web("http", "img.example.com", 80, "/")),
        ("https://img.example.com?x=1", web("https", "img.example.com", 443, "/?x=1")),
        ("https://img.example.com:8443/a", web("https", "img.example.com", 8443, "/a")),
        ("https://img.example.com/a#part", web("https", "img.example.com", 443, "/a")),
        ("https://img.example.com/a?u=http://b/@c", web("https", "img.example.com", 443, "/a?u=http://b/@c")),
        ("https://img.example.com//evil.com/a", web("https", "img.example.com", 443, "//evil.com/a")),
        ("https://a.cdn.example.com/", web("https", "a.cdn.example.com", 443, "/")),
        ("https://a.b.cdn.example.com/", web("https", "a.b.cdn.example.com", 443, "/")),
        ("https://8.8.8.8/a", web("https", "8.8.8.8", 443, "/a")),
        ("https://[2606:4700:0::1111]/a", web("https", "[2606:4700::1111]", 443, "/a")),
        ("s3://pictures/a/b.png", Stored("pictures", "a/b.png")),
        ("s3://pictures/with space.png", Stored("pictures", "with space.png")),
        ("s3://pictures/a?b#c", Stored("pictures", "a?b#c")),
        ("file:///data/a%20b.png", Local(b"/data/a b.png")),
    ],
)
def test_a_reference_within_the_rules_is_read(uri: str, reference: Web | Stored | Local) -> None:
    assert parse(uri, RULES) == reference


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "reference_malformed"),
        ("img.example.com/a.png", "reference_malformed"),
        ("//img.example.com/a.png", "reference_malformed"),
        ("/etc/passwd", "reference_malformed"),
        (" https://img.example.com/", "reference_malformed"),
        ("https://img.example.com/\n", "reference_malformed"),
        ("https://img.example.com/a\r\nHost: evil", "reference_malformed"),
        ("https://img.example.com/\x00", "reference_malformed"),
        ("https://img.example.com/\u2028", "reference_malformed"),
        ("https://img.example.com/ä", "reference_malformed"),
        ("https://ïmg.example.com/", "reference_malformed"),
        ("https://img。example。com/", "reference_malformed"),
        ("https://img.example.com/a b", "reference_malformed"),
        ("https://img.example.com/<a>", "reference_malformed"),
        ("https:\\\\img.example.com/a", "reference_malformed"),
        ("https://evil.com\\@img.example.com/", "reference_malformed"),
        ("https://img.example.com\\.evil.com/", "reference_malformed"),
        ("https:/img.example.com/a", "reference_malformed"),
        ("https:img.example.com/a", "reference_malformed"),
        ("https:///img.example.com/a", "reference_malformed"),
        ("https://", "reference_malformed"),
        ("https:///", "reference_malformed"),
        ("https://img.example.com./", "reference_malformed"),
        ("https://.img.example.com/", "reference_malformed"),
        ("https://img..example.com/", "reference_malformed"),
        ("https://-img.example.com/", "reference_malformed"),
        ("https://img.example.com%2eevil.com/", "reference_malformed"),
        ("https://%69mg.example.com/", "reference_malformed"),
        ("https://" + "a" * 64 + ".cdn.example.com/", "reference_malformed"),
        ("https://" + "a." * 130 + "cdn.example.com/", "reference_malformed"),
        ("https://img.example.com/" + "a" * 9000, "reference_malformed"),
        ("https://user@img.example.com/", "reference_userinfo"),
        ("https://user:pass@img.example.com/", "reference_userinfo"),
        ("https://img.example.com@evil.com/", "reference_userinfo"),
        ("https://img.example.com:443@evil.com/", "reference_userinfo"),
        ("https://@img.example.com/", "reference_userinfo"),
        ("ftp://img.example.com/", "reference_scheme"),
        ("gopher://img.example.com:70/_x", "reference_scheme"),
        ("data:image/png;base64,AAAA", "reference_scheme"),
        ("javascript:alert(1)", "reference_scheme"),
        ("ldap://img.example.com/", "reference_scheme"),
        ("jar:https://img.example.com!/", "reference_scheme"),
        ("gs://pictures/a", "reference_scheme"),
        ("https://evil.com/", "reference_host"),
        ("https://cdn.example.com/", "reference_host"),
        ("https://xcdn.example.com/", "reference_host"),
        ("https://a.cdn.example.com.evil.com/", "reference_host"),
        ("https://img.example.com.evil.com/", "reference_host"),
        ("https://ximg.example.com/", "reference_host"),
        ("https://evil.com/?https://img.example.com/", "reference_host"),
        ("https://evil.com#@img.example.com/", "reference_host"),
        ("https://evil.com?@img.example.com/", "reference_host"),
        ("https://localhost/", "reference_host"),
        ("https://169.254.169.254/latest/meta-data/", "reference_host"),
        ("https://[::1]/", "reference_host"),
        ("https://[::ffff:127.0.0.1]/", "reference_host"),
        ("https://metadata.google.internal/", "reference_host"),
        ("https://0x7f.1/", "reference_malformed"),
        ("https://0177.0.0.1/", "reference_malformed"),
        ("https://127.1/", "reference_malformed"),
        ("https://2130706433/", "reference_malformed"),
        ("https://0x7f000001/", "reference_malformed"),
        ("https://127.0.0.01/", "reference_malformed"),
        ("https://127.0.0.1.0/", "reference_malformed"),
        ("https://127.0.0.256/", "reference_malformed"),
        ("https://example.0x7f/", "reference_malformed"),
        ("https://[fe80::1%25eth0]/", "reference_malformed"),
        ("https://[::1/", "reference_malformed"),
        ("https://[1::2::3]/", "reference_malformed"),
        ("https://img.example.com:22/", "reference_port"),
        ("https://img.example.com:65536/", "reference_port"),
        ("https://img.example.com:99999/", "reference_port"),
        ("https://img.example.com:/", "reference_malformed"),
        ("https://img.example.com:0443/", "reference_malformed"),
        ("https://img.example.com:0/", "reference_malformed"),
        ("https://img.example.com:+443/", "reference_malformed"),
        ("https://img.example.com:443:443/", "reference_malformed"),
        ("https://img.example.com:٤٤٣/", "reference_malformed"),
        ("s3://secrets/a", "reference_bucket"),
        ("s3://pictures", "reference_malformed"),
        ("s3://pictures/", "reference_malformed"),
        ("s3:pictures/a", "reference_malformed"),
        ("s3://pictures/../secrets/a", "reference_malformed"),
        ("s3://pictures//a", "reference_malformed"),
        ("s3://pictures/a\nb", "reference_malformed"),
        ("s3://pictures@evil.com/a", "reference_malformed"),
        ("s3://PICTURES/a", "reference_malformed"),
        ("s3:///a", "reference_malformed"),
        ("s3://pictures/" + "a" * 1025, "reference_malformed"),
        ("s3://pictures/" + "é" * 513, "reference_malformed"),
        ("file://evil.com/share/a", "reference_malformed"),
        ("file://localhost/etc/passwd", "reference_malformed"),
        ("file:/etc/passwd", "reference_malformed"),
        ("file:etc/passwd", "reference_malformed"),
        ("file:///a%00.png", "reference_malformed"),
        ("file:///a?b", "reference_malformed"),
    ],
)
def test_a_reference_beyond_the_rules_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(uri, RULES)
    assert refusal.value.reason == reason


def test_no_list_means_no_reference() -> None:
    closed = Rules(schemes=("https", "s3"))
    for uri, reason in (("https://img.example.com/", "reference_host"), ("s3://pictures/a", "reference_bucket")):
        with pytest.raises(Refused) as refusal:
            parse(uri, closed)
        assert refusal.value.reason == reason


def test_a_lone_dot_in_the_list_allows_nothing() -> None:
    with pytest.raises(Refused):
        parse("https://evil.com/", Rules(schemes=("https",), hosts=(".", "")))


@pytest.mark.parametrize(
    "uri", ["https://img.example.com:444/?token=hunter2", "https://u:hunter2@img.example.com/", "hunter2://x"]
)
def test_a_refusal_repeats_nothing_of_the_reference(uri: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(uri, RULES)
    assert "hunter2" not in str(refusal.value)


PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]
PRIVATE = ["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
           "100.127.255.255", "::1", "fc00::1", "fdff::1"]  # fmt: skip
NEVER = ["0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1",  # noqa: S104
         "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
         "255.255.255.255", "::", "::7f00:1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1",
         "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1",
         "2002:7f00:1::", "3fff::1", "5f00::1", "fd00:ec2::254", "fe80::1", "fe80::1%2", "fec0::1", "ff02::1",
         "2606:4700::1111%2"]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert check_addresses([address], allow_private=False) == [address]


@pytest.mark.parametrize("address", PRIVATE + NEVER)
def test_other_addresses_may_not(address: str) -> None:
    with pytest.raises(Refused) as refusal:
        check_addresses([address], allow_private=False)
    assert refusal.value.reason == "reference_address"


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_may_by_setting(address: str) -> None:
    assert check_addresses([address], allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_translated_and_reserved_addresses_never_may(address: str) -> None:
    with pytest.raises(Refused):
        check_addresses([address], allow_private=True)


def test_one_bad_address_among_good_ones_refuses_all() -> None:
    with pytest.raises(Refused):
        check_addresses(["8.8.8.8", "127.0.0.1"], allow_private=False)


def test_a_name_without_addresses_is_refused() -> None:
    with pytest.raises(Refused):
        check_addresses([], allow_private=True)
