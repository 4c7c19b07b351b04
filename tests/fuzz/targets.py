"""Every fuzz target by its name."""

from tests.fuzz import on_images, on_text, on_wire

TARGETS = {target.name: target for target in (*on_wire.TARGETS, *on_text.TARGETS, *on_images.TARGETS)}
