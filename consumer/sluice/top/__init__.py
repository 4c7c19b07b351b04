"""What `sluice top` shows: pages of metrics in, figures of the last seconds out, and a picture of them."""
