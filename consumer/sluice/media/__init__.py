"""From a reference to upright, opaque, bounded pixels: the only package that touches Pillow."""
