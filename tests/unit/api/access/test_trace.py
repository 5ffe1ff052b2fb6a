from __future__ import annotations

import pytest

from api.access.trace import Trace


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
    ],
)
def test_a_trace_that_can_not_be_understood_is_begun_anew(header: str | None) -> None:
    trace = Trace(header)
    assert len(trace.trace_id) == 32
    assert trace.trace_id != "4bf92f3577b34da6a3ce929d0e0e4736"
    assert Trace(trace.parent).trace_id == trace.trace_id


def test_a_trace_of_a_later_version_is_continued() -> None:
    assert Trace("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more").parent.endswith("-00")
