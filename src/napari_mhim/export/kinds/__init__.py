"""What a result can leave as: a file is a kind.

Each has ``SUFFIX``, ``ABOUT`` (one sentence for the person who chooses) and
``write(source, path) -> Iterator[Progress]``, which writes whole or not at all.
"""
