"""The core: the protocol and the decoding path without any I/O.

Bytes come in, bytes go out, and the time is an argument: nothing here opens a socket, starts a
thread, waits, or knows an event loop. It imports nothing of the other layers.
"""
