"""The transports: the connections that carry the core's bytes, blocking and for asyncio, and the
two clients over them. They import the core alone.
"""
