"""What an error keeps alive after it is answered."""


def release_frames(error: BaseException) -> None:
    """Let go of the functions that an error came through; to be called once it is answered.

    A function that has the error in a variable, and the error's traceback, refer to each other. So
    they stay, and with them the request's body, until the garbage collector looks for them; and a
    look at some hundred such requests holds up the event loop for 20 ms.
    """
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            left += (one.__cause__, one.__context__)
