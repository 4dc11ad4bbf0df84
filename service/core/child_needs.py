"""What a child process needs of the Python that runs it, and the protocol that it speaks.

Read before it is known that a Python will do: nothing here is newer than Python 3.6.
"""

OLDEST_PYTHON = (3, 10)
"""Our part of a child runs on this Python and later ones."""
OLDEST_MSGSPEC = "0.19.0"
"""The only package that it needs everywhere: it works with this release and later ones."""
CHILD_PROTOCOL = 2
"""Counted up whenever a server process and children of another release would not understand each
other any more: the files of a service may be replaced while it runs."""
UNFIT_STATUS = 78
"""What a child's program ends with where its interpreter will not do; it says why before."""
