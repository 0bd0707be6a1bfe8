"""Messages between a process and a run of HiGHS apart from it: pickled, each behind its length."""

from __future__ import annotations

import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes read at once, and what stands before each message: its length.
_PIECE, _HEAD = 2**20, struct.Struct(">Q")


def send(stream: Any, message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_HEAD.pack(len(data)))
    stream.write(data)
    stream.flush()


class Inbox:
    """Messages that arrive at a descriptor, a piece at a time: waiting for one is left to whoever asks.

    Nothing is read ahead that somebody who waits for the descriptor would not see, and what has arrived of a
    message stays where an interrupt comes between.
    """

    def __init__(self, stream: Any) -> None:
        self._descriptor: int = stream.fileno()
        self._data = bytearray()

    def read(self) -> bool:
        """Take what is there, wait where that is nothing; say whether the other end is still there."""
        part = os.read(self._descriptor, _PIECE)
        self._data += part
        return bool(part)

    def messages(self) -> Iterator[Any]:
        """Hand out what has arrived whole."""
        while len(self._data) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._data)
            ends = _HEAD.size + size
            if len(self._data) < ends:
                return
            message = pickle.loads(self._data[_HEAD.size : ends])
            del self._data[:ends]
            yield message
