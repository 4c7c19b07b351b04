"""What Pillow does not tell of a PNG: is every row there, and which colours were meant (PNG, third edition, 2025).

And the pixels of a plain one, sooner than Pillow has them (`python -m tests.bench media`).
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kornia_rs import io as rows_decoder

from sluice.core.errors import Unreadable
from sluice.media.decoding import exif
from sluice.media.decoding.png_chunks import Chunk, sift
from sluice.moderation.values import Pixels

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SRGB_CICP = bytes([1, 13, 0, 1])  # BT.709 primaries, the curve of sRGB, RGB, full range
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # white, red, green, blue; x and y
_CHROMATICITIES = struct.Struct(">8I")
_CHROMATICITY_SLACK = 1000  # a hundredth: writers round
_PIECE = 1 << 20
_MOST_PLAIN_PIXELS = 1 << 23  # a plain image is in memory three times while it is decoded
_MODES = {2: "rgb", 6: "rgba"}
_PROFILE_HEAD_BYTES = 128  # ICC.1, 7.2
_MAX_PROFILE_BYTES = 16 << 20
_NOT_PLAIN = {b"tRNS", b"acTL", b"fcTL"}
_FILTERS = 5
_STORED = struct.Struct("<BHH")  # RFC 1951, 3.2.4: last or not, length, its complement
_MOST_STORED = 0xFFFF


@dataclass(frozen=True, slots=True)
class Layer:
    """One compressed image of a PNG: the size it declares and the pieces of its zlib stream."""

    width: int
    height: int
    pieces: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Png:
    """The structure of a PNG; `layers` holds the default image and then the frames of an animation.

    `plain` says that nothing but 8-bit RGB or RGBA, row after row, is between the header and the end. `file` is the
    same picture without its metadata, `turns` are the orientations that this may ask for.
    """

    bits: int
    colour_type: int
    interlaced: bool
    plain: bool
    colours: Mapping[bytes, bytes]
    layers: tuple[Layer, ...]
    file: bytes
    turns: tuple[int, ...]

    @property
    def profile(self) -> bytes | None:
        """The embedded profile, None when there is none or it is cut off. Raises Unreadable when it is too large."""
        _, _, packed = self.colours.get(b"iCCP", b"").partition(b"\0")
        return _inflated(packed[1:]) if packed[:1] == b"\0" else None

    def gamma(self, *, profiled: bool) -> float | None:
        """Return what gAMA says, unless something that counts more is there (PNG 4.3)."""
        if profiled or b"sRGB" in self.colours or b"gAMA" not in self.colours:
            return None
        return int.from_bytes(self.colours[b"gAMA"], "big") / 100_000 or None

    def foreign_colours(self, *, profiled: bool) -> bool:
        """Whether numbers ask for a colour space that is not sRGB; a profile overrules all but cICP (PNG 4.3)."""
        if (code := self.colours.get(b"cICP")) is not None:
            return code != _SRGB_CICP
        meant = self.colours.get(b"cHRM")
        if meant is None or b"sRGB" in self.colours or profiled:
            return False
        pairs = zip(_CHROMATICITIES.unpack(meant), _SRGB_CHROMATICITIES, strict=True)
        return any(abs(value - usual) > _CHROMATICITY_SLACK for value, usual in pairs)

    def short(self) -> bool:
        """Whether some layer's stream holds fewer bytes than its size needs; Pillow fills the rest with black."""
        return any(not _holds(layer.pieces, self._raw_bytes(layer)) for layer in self.layers)

    def pixels(self) -> Pixels | None:
        """Decode a plain image to (h, w, 3 or 4) uint8; None in any doubt, which Pillow is there to resolve.

        zlib decides, as it does for Pillow, whether the stream is sound; only then are the rows, framed anew without
        compression, given to a decoder that undoes their filters.
        """
        image = self.layers[0]
        if not self.plain or image.width * image.height > _MOST_PLAIN_PIXELS:
            return None
        wanted, stream = self._raw_bytes(image), b"".join(image.pieces)
        inflate = zlib.decompressobj()
        try:
            rows = inflate.decompress(stream, wanted + 1)
        except zlib.error:
            return None
        sound = inflate.eof and not inflate.unused_data and len(rows) == wanted
        if not sound or max(rows[:: wanted // image.height]) >= _FILTERS:
            return None
        framed, size = self._framed(rows, adler=stream[-4:]), (image.height, image.width)
        pixels: Pixels = rows_decoder.decode_image_png_u8(framed, size, _MODES[self.colour_type])
        return pixels

    def _framed(self, rows: bytes, *, adler: bytes) -> bytes:
        """Write rows as a PNG without compression."""
        image, view = self.layers[0], memoryview(rows)
        data: list[bytes | memoryview] = [b"\x78\x01"]
        for start in range(0, len(rows), _MOST_STORED):
            block = view[start : start + _MOST_STORED]
            data += [_STORED.pack(start + len(block) == len(rows), len(block), len(block) ^ _MOST_STORED), block]
        data.append(adler)
        header = struct.pack(">IIBBBBB", image.width, image.height, self.bits, self.colour_type, 0, 0, 0)
        chunks = (*_chunk(b"IHDR", [header]), *_chunk(b"IDAT", data), *_chunk(b"IEND", []))
        return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])

    def _raw_bytes(self, layer: Layer) -> int:
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        depth = self.bits * _CHANNELS.get(self.colour_type, 4)
        total = 0
        for left, top, across, down in passes:
            columns = -(-(layer.width - left) // across)
            rows = -(-(layer.height - top) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * depth // 8))
        return total


def parse(data: bytes) -> Png:
    """Sift the chunks of a PNG without decoding it; Unreadable when they do not add up."""
    layers: list[Layer] = []
    header: tuple[int, ...] | None = None
    found = sift(data)
    for kind, start, length in found.chunks:
        body = data[start : start + length]
        if kind == b"IHDR" and length >= 13:  # noqa: PLR2004 - the fixed size of IHDR
            header = struct.unpack(">IIBBBBB", body[:13])
            layers.append(Layer(header[0], header[1]))
        elif kind == b"tRNS" and header:
            _check_key(body, bits=header[2], colour_type=header[3])
        elif layers:
            _lay(layers, kind, body)
    if header is None:
        raise Unreadable("corrupt", "a PNG without a header")
    _check_frames(data, found.chunks)
    return Png(
        header[2],
        header[3],
        interlaced=header[6] == 1,
        plain=_is_plain(header, [chunk.kind for chunk in found.chunks]),
        colours=found.colours,
        layers=tuple(layers),
        file=found.written(data),
        turns=exif.turns(found.blocks),
    )


def _is_plain(header: tuple[int, ...], kinds: list[bytes]) -> bool:
    """Whether the one header asks for 8-bit RGB or RGBA in order, and the data stand together at the end."""
    _, _, bits, colour_type, *methods = header
    if bits != 8 or colour_type not in _MODES or any(methods) or not _NOT_PLAIN.isdisjoint(kinds):  # noqa: PLR2004
        return False
    if kinds[0] != b"IHDR" or kinds.count(b"IHDR") > 1 or b"IDAT" not in kinds:
        return False
    return set(kinds[kinds.index(b"IDAT") : -1]) == {b"IDAT"}


def _lay(layers: list[Layer], kind: bytes, body: bytes) -> None:
    """Put a chunk of an image where it belongs; a frame control before the default image is that image's own."""
    if kind == b"fcTL" and len(body) >= 26 and layers[-1].pieces:  # noqa: PLR2004 - the fixed size of fcTL
        layers.append(Layer(*struct.unpack(">II", body[4:12])))
    elif kind == b"IDAT":
        layers[0].pieces.append(body)
    elif kind == b"fdAT":
        layers[-1].pieces.append(body[4:])


def _check_frames(data: bytes, chunks: Sequence[Chunk]) -> None:
    """Refuse an animation of more or fewer frames than it announces: readers differ on which to believe."""
    announced = [data[start : start + 4] for kind, start, _ in chunks if kind == b"acTL"]
    moving = sum(kind == b"fcTL" for kind, _, _ in chunks)
    if announced != ([moving.to_bytes(4, "big")] if moving else []):
        raise Unreadable("corrupt", "another number of frames than announced")


def _check_key(body: bytes, *, bits: int, colour_type: int) -> None:
    """Refuse a transparent colour that readers understand differently: bits above the depth, or 16-bit colours."""
    if colour_type not in (0, 2):
        return
    if colour_type == 2 and bits == 16:  # noqa: PLR2004 - Pillow drops the low half of each sample, not of the key
        raise Unreadable("unsupported_pixels", "a transparent colour among 16-bit colours")
    if any(key >> bits for (key,) in struct.iter_unpack(">H", body[: len(body) // 2 * 2])):
        raise Unreadable("unsupported_pixels", "a transparent colour beyond the bit depth")


def _chunk(kind: bytes, parts: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a chunk; its body is not copied."""
    yield sum(map(len, parts)).to_bytes(4, "big")
    checksum = 0
    for part in (kind, *parts):
        checksum = zlib.crc32(part, checksum)
        yield part
    yield checksum.to_bytes(4, "big")


def _holds(pieces: list[bytes], wanted: int) -> bool:
    inflate = zlib.decompressobj()
    total = 0
    try:
        for piece in pieces:
            rest = piece
            while rest and total < wanted:
                total += len(inflate.decompress(rest, _PIECE))
                rest = inflate.unconsumed_tail
            if total >= wanted:
                return True
        return total + len(inflate.flush()) >= wanted
    except zlib.error:
        return False


def _inflated(packed: bytes) -> bytes | None:
    """Inflate a profile by the length in its own head, and no more of what claims to be one."""
    inflate = zlib.decompressobj()
    try:
        head = inflate.decompress(packed, _PROFILE_HEAD_BYTES)
        size = int.from_bytes(head[:4], "big")
        if len(head) < _PROFILE_HEAD_BYTES or head[36:40] != b"acsp":
            return None
        if size > _MAX_PROFILE_BYTES:
            raise Unreadable("bad_colour_profile", f"a profile of {size} bytes, {_MAX_PROFILE_BYTES} allowed")
        body = head + inflate.decompress(inflate.unconsumed_tail, max(1, size - len(head)))
    except zlib.error:
        return None
    return body if len(body) >= size else None
