"""Messages to a target that goes away."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest
from singer_sdk.singerlib import StateMessage

from tap_asana_export.errors import OutputError
from tap_asana_export.output.messages import MessageWriter


class Gone(io.BytesIO):
    """A pipe that nobody reads."""

    def write(self, data: Any) -> int:
        raise BrokenPipeError(32, f"Broken pipe after {len(data)} bytes")


def test_every_message_to_a_target_that_has_gone_fails_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=Gone()))
    writer = MessageWriter()
    errors = []
    for length in (10, 10_000):
        with pytest.raises(OutputError) as raised:
            writer.write_message(StateMessage(value={"text": "x" * length}))
        errors.append(raised)  # an error that is kept keeps what it came by, too
    assert len(errors) == 2
