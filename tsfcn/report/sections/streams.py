"""Test streams: pictures with the true and the predicted labels, where predictions are stored."""

from __future__ import annotations

from tsfcn.common.text import listed
from tsfcn.report.collect import Material
from tsfcn.report.html import Content

N_PICTURES = 12  # datasets that are drawn


def content(material: Material) -> Content | None:
    """Return the content of the section: a picture for each dataset, and why others have none. None without jobs."""
    if not material.records:
        return None
    drawn = material.streams[:N_PICTURES]
    return {
        "pictures": [(stream.title, stream.chart(f"c-stream-{number}")) for number, stream in enumerate(drawn)],
        "more": listed([stream.dataset for stream in material.streams[N_PICTURES:]], 6),
        "left_out": material.streams_left_out,
    }
