"""Soon."""


def demo() -> None: ...
