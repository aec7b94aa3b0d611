"""Sockets of the blocking client."""

from __future__ import annotations

import select

#: Bytes that are read at once.
READ_BYTES = 1 << 18
#: `select` takes no descriptors beyond this, and `poll` no fractions of a millisecond.
SELECT_DESCRIPTORS = 1024


def wait_readable(descriptor: int, seconds: float) -> bool:
    """True if something can be read within `seconds`, to some tens of microseconds."""
    if descriptor < SELECT_DESCRIPTORS:
        return bool(select.select([descriptor], [], [], max(seconds, 0.0))[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    # Python rounds up, and an early end is nearer to the deadline than a late one.
    return bool(poll.poll(int(max(seconds, 0.0) * 1000)))
