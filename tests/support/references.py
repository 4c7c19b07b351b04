"""References as attackers write them, and addresses as resolvers return them: the table that every guard is held to."""
# ruff: noqa: RUF001 - characters that look like others are what attackers use

from sluice.media.fetching.references import Local, Reference, Rules, Stored, Web

RULES = Rules(
    schemes=("https", "http", "s3", "file"),
    hosts=("img.example.com", ".cdn.example.com", "8.8.8.8", "[2606:4700::1111]", "127.0.0.1"),
    ports=(80, 443, 8443),
    buckets=("pictures",),
)

_IMG = "img.example.com"

KEYS = '\u202f\xa0\u200d\xad\u200f\u3000\u202e\u2028\ufeff\uffff\u0378\U0001f9d1\U000e0001\U0010fffd"<>^`{|}*&=;:@!'
"""Characters that keys of objects have, and that people do not see or programs trip over."""

ALLOWED: dict[str, Reference] = {
    "https://img.example.com/a.png": Web("https", _IMG, 443, "/a.png", _IMG),
    "HTTPS://IMG.Example.COM/A.png": Web("https", _IMG, 443, "/A.png", _IMG),
    "http://img.example.com": Web("http", _IMG, 80, "/", _IMG),
    "https://img.example.com?x=1": Web("https", _IMG, 443, "/?x=1", _IMG),
    "https://img.example.com:8443/a": Web("https", _IMG, 8443, "/a", _IMG),
    "https://img.example.com:80/a": Web("https", _IMG, 80, "/a", _IMG),
    "https://img.example.com/a#part": Web("https", _IMG, 443, "/a", _IMG),
    "https://img.example.com/#@evil.com": Web("https", _IMG, 443, "/", _IMG),
    "https://img.example.com/a?u=http://b/@c": Web("https", _IMG, 443, "/a?u=http://b/@c", _IMG),
    "https://img.example.com//evil.com/a": Web("https", _IMG, 443, "//evil.com/a", _IMG),
    "https://img.example.com/../a/./b": Web("https", _IMG, 443, "/../a/./b", _IMG),
    "https://img.example.com/%0d%0aHost:%20evil": Web("https", _IMG, 443, "/%0d%0aHost:%20evil", _IMG),
    "https://img.example.com/%5c%2e%00": Web("https", _IMG, 443, "/%5c%2e%00", _IMG),
    "https://a.cdn.example.com/": Web("https", "a.cdn.example.com", 443, "/", ".cdn.example.com"),
    "https://a.b.cdn.example.com/": Web("https", "a.b.cdn.example.com", 443, "/", ".cdn.example.com"),
    "https://8.8.8.8/a": Web("https", "8.8.8.8", 443, "/a", "8.8.8.8"),
    "https://[2606:4700:0::1111]/a": Web("https", "[2606:4700::1111]", 443, "/a", "[2606:4700::1111]"),
    "s3://pictures/a/b.png": Stored("pictures", "a/b.png"),
    "S3://pictures/a": Stored("pictures", "a"),
    "s3://pictures/with space.png": Stored("pictures", "with space.png"),
    "s3://pictures/a?b#c": Stored("pictures", "a?b#c"),
    "s3://pictures/%2e%2e/a": Stored("pictures", "%2e%2e/a"),
    "s3://pictures/image%20x": Stored("pictures", "image%20x"),
    "s3://pictures/100%": Stored("pictures", "100%"),
    "s3://pictures/%2Fa%00": Stored("pictures", "%2Fa%00"),
    "s3://pictures/a+b c": Stored("pictures", "a+b c"),
    "s3://pictures/ a ": Stored("pictures", " a "),
    "s3://pictures/...": Stored("pictures", "..."),
    "s3://pictures/.a/b..": Stored("pictures", ".a/b.."),
    "s3://pictures/a\\b\\..\\c": Stored("pictures", "a\\b\\..\\c"),
    **{f"s3://pictures/a{it}b": Stored("pictures", f"a{it}b") for it in KEYS},
    "file:///data/a%20b.png": Local(b"/data/a b.png"),
    "file:////evil.com/share/a": Local(b"//evil.com/share/a"),
    "FILE:///C:/a": Local(b"/C:/a"),
}

_NOT_ABSOLUTE = (
    "", "a", "/", "/etc/passwd", "img.example.com/a.png", "//img.example.com/a.png", "://img.example.com/",
    "1https://img.example.com/", "https//img.example.com/", "https;//img.example.com/", "?https://img.example.com/",
    "https:/img.example.com/a", "https:img.example.com/a", "https:///img.example.com/a", "https://", "https:///",
    "https://?a", "https://#a", "https://:443/", "http:", "https:////img.example.com/",
)  # fmt: skip
_INVISIBLE = "\x7f\x80\x85\xa0\xad\u061c\u200b\u200d\u2028\u2029\u202e\u2066\u3000\ufeff\ufffe\ud800\U000e0001"
_CONTROLS = tuple(f"https://img.example.com/a{it}b" for it in [*map(chr, range(0x20)), *_INVISIBLE, *'ä "<>^`{|}'])
_CONTROLS_ELSEWHERE = (
    " https://img.example.com/", "https://img.example.com/ ", "\thttps://img.example.com/", "h\nttps://img.example.com/",
    "https\x00://img.example.com/", "https ://img.example.com/", "https:\n//img.example.com/",
    "https:/\t/img.example.com/", "https://img.exa\tmple.com/", "https://img.example.com\r/", "https://img.example.com\x00.evil.com/",
    "https://img.example.com/a\r\nHost: evil", "https://img.example.com:443\n/", "s3://pictures/a\nb", "s3://pictures/a\x7f",
    "s3://pict\nures/a", "s3://pictures/a\x00b", "s3://pictures/a\x85b", "s3://pictures/\ud800", "file:///a\nb", "file:///a\x00",
)  # fmt: skip
_BACKSLASHES = (
    "https:\\\\img.example.com/a", "https:/\\img.example.com/", "https:\\/img.example.com/", "\\\\evil.com\\share",
    "https://evil.com\\@img.example.com/", "https://img.example.com\\@evil.com/", "https://img.example.com\\.evil.com/",
    "https://evil.com\\.img.example.com/", "https://img.example.com:443\\@evil.com/", "https://img.example.com/a\\..\\b",
    "https://img.example.com?\\evil.com", "https://img.example.com#\\evil.com", "file:\\\\evil.com\\share",
    "file:///\\\\evil.com\\share", "file:///C:\\a", "s3:\\\\pictures\\a", "s3://pictures\\..\\secrets/a",
)  # fmt: skip
_UNICODE_HOSTS = (
    "https://ïmg.example.com/", "https://ımg.example.com/", "https://İmg.example.com/", "https://img.еxample.com/",
    "https://img。example。com/", "https://img．example．com/", "https://img｡example｡com/", "https://ⓘⓜⓖ.example.com/",
    "https://img.example.ⓒⓞⓜ/", "https://img.example.com\u200b/", "https://img.ex\u00adample.com/",
    "https://img.example.com\ufeff/", "https://img.example.com\u2044evil.com/", "https://img.example.com⁄.evil.com/",
    "https://evil.c℀.img.example.com/", "https://evil.com／img.example.com/", "https://evil.com？.cdn.example.com/",
    "https://evil.com＃.cdn.example.com/", "https://evil.com＠img.example.com/", "https://img.example.com：443/",
    "https://①②⑦.⓪.⓪.①/", "https://１２７.0.0.1/", "https://127。0。0。1/", "https://१२७.0.0.1/", "https://[：：1]/",
)  # fmt: skip
_ENCODED_HOSTS = (
    "https://img.example.com%2eevil.com/", "https://%69mg.example.com/", "https://img%2eexample%2ecom/",
    "https://img.example.com%00.evil.com/", "https://img.example.com%00/", "https://img.example.com%0d%0a/",
    "https://evil.com%2f.cdn.example.com/", "https://evil.com%23.cdn.example.com/", "https://evil.com%3f.cdn.example.com/",
    "https://evil.com%5c.cdn.example.com/", "https://evil.com%40img.example.com/", "https://img%E3%80%82example.com/",
    "https://%31%32%37.0.0.1/", "https://img.example.com%252e/", "https://img.example.com%20/", "https://%/",
)  # fmt: skip
_HOST_NAMES = (
    "https://img.example.com./", "https://img.example.com../", "https://.img.example.com/", "https://img..example.com/",
    "https://-img.example.com/", "https://img-.example.com/", "https://./", "https://../", "https://.cdn.example.com/",
    "https://img.example.com,evil.com/", "https://img.example.com;evil.com/", "https://img.example.com&evil.com/",
    "https://img.example.com!evil.com/", "https://img.example.com$evil.com/", "https://*.cdn.example.com/",
    "https://img.example.com(evil)/", "https://img.example.com'/", "https://~img.example.com/", "https://img+.example.com/",
    "https://" + "a" * 64 + ".cdn.example.com/", "https://" + "a." * 130 + "cdn.example.com/",
    "https://img.example.com/" + "a" * 9000, "https://" + "a" * 9000, "a" * 9000 + "://img.example.com/",
)  # fmt: skip
_IPV4_SPELLINGS = (
    "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://0x7f000001/", "https://0X7F000001/", "https://017700000001/", "https://0x7f.0x0.0x0.0x1/",
    "https://0177.0.0.0x1/", "https://00000177.0.0.1/", "https://127.0.0.01/", "https://127.0.0.1./",
    "https://127.0.0.1.0/", "https://127.0.0.256/", "https://127.0.0.0x1/", "https://127..1/", "https://0/",
    "https://0x/", "https://0x0/", "https://00/", "https://4294967296/", "https://6425673729/", "https://1.2.3/",
    "https://2852039166/", "https://0xa9fea9fe/", "https://0xA9.0xFE.0xA9.0xFE/", "https://0251.0376.0251.0376/",
    "https://169.254.43518/", "https://169.16689662/", "https://425.510.425.510/", "https://0251.254.169.254/",
    "https://example.0x7f/", "https://example.1/", "https://cdn.example.com.08/", "https://134744072/",
    "https://8.8.2056/", "https://010.8.8.8/", "https://8.8.8.8./", "https://99999999999999999999/",
)  # fmt: skip
_IPV6_SPELLINGS = (
    "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[::1%25lo]/", "https://[2606:4700::1111%251]/",
    "https://[::1/", "https://::1/", "https://::1]/", "https://[]/", "https://[[::1]]/", "https://[::1]]/",
    "https://[1::2::3]/", "https://[1:2:3:4:5:6:7:8:9]/", "https://[1:2:3:4:5:6:7]/", "https://[12345::]/",
    "https://[::g]/", "https://[:::1]/", "https://[::1:]/", "https://[v1.fe80::a]/", "https://[127.0.0.1]/",
    "https://[0x7f.1]/", "https://[::ffff:127.1]/", "https://[::ffff:0177.0.0.1]/", "https://[::ffff:127.0.0.256]/",
    "https://[::1].evil.com/", "https://[::1]evil.com/", "https://evil.com[::1]/", "https://[2606:4700::1111].evil.com/",
    "https://[2606:4700::1111]evil/", "https://2606:4700::1111/", "https://[img.example.com]/",
)  # fmt: skip
_PORTS = (
    "https://img.example.com:/", "https://img.example.com:0443/", "https://img.example.com:0/", "https://img.example.com:00/",
    "https://img.example.com:+443/", "https://img.example.com:-443/", "https://img.example.com:443:443/",
    "https://img.example.com:٤٤٣/", "https://img.example.com:４４３/", "https://img.example.com:443a/",
    "https://img.example.com:0x1bb/", "https://img.example.com:4_43/", "https://img.example.com:443.0/",
    "https://img.example.com:%34%34%33/", "https://img.example.com:443%20/", "https://img.example.com:443.evil.com/",
    "https://img.example.com:4294967739/", "https://img.example.com:1000000/", "https://[2606:4700::1111]:/",
)  # fmt: skip
_S3_FORMS = (
    "s3://pictures", "s3://pictures/", "s3:pictures/a", "s3:/pictures/a", "s3:///a", "s3:///pictures/a", "s3://",
    "s3://pictures/../secrets/a", "s3://pictures/a/..", "s3://pictures/./a", "s3://pictures//a", "s3://pictures/a//b",
    "s3://pictures/a/", "s3://pictures@evil.com/a", "s3://user@pictures/a", "s3://PICTURES/a", "s3://pictures:443/a",
    "s3://pictures?x/a", "s3://pictures#x/a", "s3://pictures%2f..%2fsecrets/a", "s3://pi/a", "s3://-pictures/a",
    "s3://pictures-/a", "s3://pïctures/a", "s3://arn:aws:s3:::pictures/a", "s3://[::1]/a", "s3://pict_ures/a",
    "s3://pictures/" + "a" * 1025, "s3://pictures/" + "é" * 513,
)  # fmt: skip
_FILES = (
    "file://evil.com/share/a", "file://localhost/etc/passwd", "file://127.0.0.1/etc/passwd", "file:/etc/passwd",
    "file:etc/passwd", "file://", "file:", "file://C:/a", "file://~/a", "file://../a", "file:///a%00.png", "file:///a?b",
    "file:///a#b", "file://%2fetc/passwd", "file:///a b",
)  # fmt: skip
_USERS = (
    "https://user@img.example.com/", "https://user:pass@img.example.com/", "https://img.example.com@evil.com/",
    "https://img.example.com:443@evil.com/", "https://@img.example.com/", "https://:@img.example.com/",
    "https://a@b@img.example.com/", "https://user%3Apass@img.example.com/", "https://img.example.com;@evil.com/",
    "https://img.example.com&@evil.com/", "https://img.example.com%20@evil.com/", "https://[::1]@img.example.com/",
    "https://img.example.com@[::1]/", "https://img.example.com@127.0.0.1/", "https://img.example.com:@evil.com/",
)  # fmt: skip
_SCHEMES = (
    "ftp://img.example.com/", "sftp://img.example.com/", "tftp://img.example.com/", "gopher://img.example.com:70/_x",
    "dict://img.example.com:11211/", "ldap://img.example.com/", "jar:https://img.example.com!/", "gs://pictures/a",
    "data:image/png;base64,AAAA", "javascript:alert(1)", "about:blank", "blob:https://img.example.com/a",
    "view-source:https://img.example.com/", "url:https://img.example.com/", "feed:https://img.example.com/",
    "unix:///var/run/docker.sock", "http+unix://%2fvar%2frun%2fdocker.sock/", "netdoc:///etc/passwd", "ws://img.example.com/",
    "s3a://pictures/a", "s3n://pictures/a", "arn:aws:s3:::pictures/a", "az://pictures/a", "hdfs://img.example.com/a",
    "smb://img.example.com/a", "mailto:a@img.example.com", "httpss://img.example.com/", "img.example.com:443/", "c:/a",
)  # fmt: skip
_HOSTS = (
    "https://evil.com/", "https://cdn.example.com/", "https://xcdn.example.com/", "https://ximg.example.com/",
    "https://a.cdn.example.com.evil.com/", "https://img.example.com.evil.com/", "https://img.example.co/",
    "https://img-example.com/", "https://example.com/", "https://com/", "https://a.img.example.com/",
    "https://evil.com/?https://img.example.com/", "https://evil.com#@img.example.com/", "https://evil.com?@img.example.com/",
    "https://evil.com/@img.example.com/", "https://xn--mg-mka.example.com/", "https://xn--a/", "https://a_b.example.com/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost.localdomain/", "https://ip6-localhost/",
    "https://127.0.0.1.nip.io/", "https://localtest.me/", "https://pictures.s3.amazonaws.com/a", "https://s3.amazonaws.com/a",
    "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/", "https://169.254.170.23/",
    "https://100.100.100.200/", "https://192.0.0.192/", "https://168.63.129.16/", "https://metadata.google.internal/",
    "https://metadata/", "https://instance-data/", "https://metadata.tencentyun.com/", "https://kubernetes.default.svc/",
    "https://rancher-metadata/", "https://127.0.0.2/", "https://0.0.0.0/", "https://8.8.8.9/", "https://255.255.255.255/",
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[::ffff:0:7f00:1]/",
    "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b:1::a9fe:a9fe]/",
    "https://[2002:7f00:1::]/", "https://[2001:0:53aa:64c::80ff:fffe]/", "https://[fe80::1]/", "https://[fe80::a9fe:a9fe]/",
    "https://[fec0::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[2606:4700::1112]/",
)  # fmt: skip

REFUSED: dict[str, tuple[str, ...]] = {
    "reference_malformed": (
        *_NOT_ABSOLUTE, *_CONTROLS, *_CONTROLS_ELSEWHERE, *_BACKSLASHES, *_UNICODE_HOSTS, *_ENCODED_HOSTS, *_HOST_NAMES,
        *_IPV4_SPELLINGS, *_IPV6_SPELLINGS, *_PORTS, *_S3_FORMS, *_FILES,
    ),
    "reference_userinfo": _USERS,
    "reference_scheme": _SCHEMES,
    "reference_host": _HOSTS,
    "reference_port": tuple(
        f"https://img.example.com:{port}/"
        for port in (1, 22, 25, 444, 2375, 6379, 8080, 9092, 44300, 65535, 65536, 99999)
    ),
    "reference_bucket": ("s3://secrets/a", "s3://pictures.evil.com/a", "s3://127.0.0.1/a", "s3://a.pictures/b", "s3://picture/a"),
}  # fmt: skip

PUBLIC = (
    "8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "100.128.0.1", "168.63.129.17", "2606:4700::1111",
    "2a00:1450::1",
)  # fmt: skip
PRIVATE = (
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "100.127.255.255", "::1", "fc00::1", "fdff::1",
)  # fmt: skip
NEVER = (
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "169.254.170.2", "100.100.100.200", "168.63.129.16",  # noqa: S104
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::7f00:1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::7f00:1",
    "100::1", "2001::1", "2001:0:7f00:1::", "2001:0:53aa:64c::80ff:fffe", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
    "2002:808:808::1", "3fff::1", "5f00::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::1%2",
    "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff0e::1", "2606:4700::1111%2",
)  # fmt: skip
FORBIDDEN = PRIVATE + NEVER
