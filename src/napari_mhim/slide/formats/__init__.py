"""One file, one family of files: ``RANK``, ``sniff(head, path)``, ``open_slide(path)``."""
