"""Reprise inside inference engines: one module for each, imported only where that engine runs.

None of them is needed to use the client, and none imports its engine before the engine calls it.
"""
