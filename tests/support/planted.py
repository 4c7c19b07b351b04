"""Image events full of canaries: sound ones, every fault the simulator knows, and references of every kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle, islice
from random import Random

from PIL import Image as Pillow
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from sluice_schemas import Generator, Image, ImageGenerated, encode
from sluice_sim.faults import faults
from tests.support import images
from tests.support.canaries import Canary

MAX_INLINE_BYTES = 128 * 1024  # the consumer's limit here, so that the fault beyond it stays cheap
LONG_PROMPT = f"{Canary.PROMPT} " * 5000
OFTEN = 8  # a word said again and again survives being cut anywhere

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Planted:
    """One record to send."""

    key: bytes
    value: bytes | None
    headers: Headers


def often(word: str) -> str:
    """Say a word again and again."""
    return " ".join([word] * OFTEN)


def picture(format_: str, seed: int = 1) -> bytes:
    """Draw a small picture whose metadata, of every kind the format has, are canaries."""
    words = often(Canary.METADATA)
    exif = Pillow.Exif()
    for tag in (Base.ImageDescription, Base.Artist, Base.Copyright, Base.Software):
        exif[tag] = words
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{words}</x:xmpmeta>'.encode()
    drawn = Pillow.fromarray(images.scene(64, 64, seed))
    if format_ == "PNG":
        text = PngInfo()
        text.add_text("Comment", words)
        text.add_text("parameters", words, zip=True)
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return images.encode(drawn, "PNG", pnginfo=text, exif=exif)
    comment = {"comment": words.encode()} if format_ == "JPEG" else {}
    return images.encode(drawn, format_, exif=exif, xmp=xmp, **comment)


PICTURES = tuple(picture(format_) for format_ in ("PNG", "JPEG", "WEBP"))


def event(number: int, image: Image, **changes: object) -> ImageGenerated:
    """Make an event whose texts are canaries."""
    said = ImageGenerated(
        image_id=f"image-{number}",
        created_at=datetime.now(UTC),
        image=image,
        prompt=often(Canary.PROMPT),
        negative_prompt=often(Canary.NEGATIVE_PROMPT),
        generator=Generator("planter"),
        attributes={"note": often(Canary.ATTRIBUTE)},
    )
    return replace(said, **changes)  # type: ignore[arg-type]  # fields of the event, by name


Kind = Callable[[int], bytes | None]


def kinds(store: str) -> tuple[Kind, ...]:
    """Return every kind of value there is; `store` is the `host:port` of a store that answers by path."""
    broken = (_broken(spoil) for spoil in (_half, _garbled))
    spoilt = (_spoilt(fault.spoil) for fault in faults(max_inline_bytes=MAX_INLINE_BYTES))
    referring = (_referring(uri) for uri in references(store))
    unsound = (*spoilt, *broken, *referring, _garbage, _json, _long_names, _halved, _followed)
    sound = cycle((*map(_inline, PICTURES), _fetched(store), _fetched(store), _long_prompt))
    return tuple(kind for one in unsound for kind in (one, next(sound)))


def references(store: str) -> tuple[str, ...]:
    """Name pictures that are refused or not there; whatever follows the host is a canary."""
    path = f"{Canary.PATH}.png?token={Canary.QUERY}"
    whole = f"{path}#{Canary.FRAGMENT}"
    return (
        f"ftp://{Canary.USERINFO}:{Canary.USERINFO}@elsewhere.example/{whole}",
        f"http://{Canary.USERINFO}:{Canary.USERINFO}@{store}/{whole}",
        f"https://elsewhere.example/{whole}",
        f"http://elsewhere.example/{whole}",
        f"http://{store}/ {whole}",
        f"http://{store}/\x00\x1b{whole}",
        f"//{store}/{whole}",
        f"http://{store}/missing/{whole}",
        f"http://{store}/forbidden/{whole}",
        f"http://{store}/odd/{whole}",
        f"http://{store}/moved/{whole}",
        f"http://{store}/moved-here/{whole}",
        f"http://{store}/encoded/{whole}",
        f"http://{store}/text/{whole}",
        f"s3://pictures/missing/{Canary.S3_KEY}",
        f"s3://pictures/forbidden/{Canary.S3_KEY}",
        f"s3://pictures/../{Canary.S3_KEY}?{Canary.QUERY}",
        f"s3://others/{Canary.S3_KEY}",
        f"file:///{Canary.PATH}",
    )


def planted(store: str, count: int, *, start: int = 0) -> Iterator[Planted]:
    """Yield so many records, every kind in turn."""
    rng = Random(start)
    for number, kind in enumerate(islice(cycle(kinds(store)), count), start=start):
        yield Planted(_key(number), kind(number), _headers(number, rng))


def sick(store: str, count: int) -> Iterator[Planted]:
    """Yield records whose pictures lie where the store is out of order."""
    whole = f"{Canary.PATH}.png?token={Canary.QUERY}#{Canary.FRAGMENT}"
    for number in range(count):
        image = Image(uri=f"http://{store}/sick/{number}/{whole}")
        yield Planted(_key(number), encode(event(number, image)), _headers(number, Random(number)))


def unreadable(count: int) -> Iterator[Planted]:
    """Yield records that are no events."""
    for number in range(count):
        yield Planted(_key(number), _garbage(number), _headers(number, Random(number)))


def _key(number: int) -> bytes:
    return f"{Canary.KEY}-{number}".encode()


def _headers(number: int, rng: Random) -> Headers:
    parent = f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01"
    note = often(Canary.HEADER) if number % 50 else Canary.HEADER * 4500  # more than a letter carries
    return (
        ("traceparent", parent.encode()),
        ("tracestate", f"vendor={Canary.TRACESTATE}".encode()),
        ("baggage", f"user={Canary.BAGGAGE}".encode()),
        (f"x-{Canary.HEADER_NAME}", note.encode()),
    )


def _inline(data: bytes) -> Kind:
    return lambda number: encode(event(number, Image(bytes=data)))


def _fetched(store: str) -> Kind:
    whole = f"{Canary.PATH}.png?token={Canary.QUERY}#{Canary.FRAGMENT}"
    return lambda number: encode(event(number, Image(uri=f"http://{store}/sound/{number}/{whole}")))


def _long_prompt(number: int) -> bytes:
    return encode(event(number, Image(bytes=PICTURES[0]), prompt=LONG_PROMPT))


def _spoilt(spoil: Callable[[ImageGenerated], bytes | None]) -> Kind:
    return lambda number: spoil(event(number, Image(bytes=PICTURES[1])))


def _broken(spoil: Callable[[bytes], bytes]) -> Kind:
    return lambda number: encode(event(number, Image(bytes=spoil(PICTURES[number % len(PICTURES)]))))


def _referring(uri: str) -> Kind:
    return lambda number: encode(event(number, Image(uri=uri)))


def _half(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _garbled(data: bytes) -> bytes:
    words = often(Canary.METADATA).encode()
    return data[:64] + words + data[64 + len(words) :]


def _garbage(_: int) -> bytes:
    return often(Canary.GARBAGE).encode()


def _json(number: int) -> bytes:
    return f'{{"image_id": "image-{number}", "prompt": "{often(Canary.PROMPT)}"}}'.encode()


def _long_names(number: int) -> bytes:
    said = event(number, Image(bytes=PICTURES[0]), tenant_id=Canary.GARBAGE * 1500)
    return encode(said)


def _halved(number: int) -> bytes:
    """Cut an event where its picture is, so that nobody can tell that there was one."""
    value = encode(event(number, Image(bytes=PICTURES[0])))
    return value[: value.index(PICTURES[0]) + len(PICTURES[0]) // 2]


def _followed(number: int) -> bytes:
    return encode(event(number, Image(bytes=PICTURES[2]))) + often(Canary.GARBAGE).encode()
