"""The one error of normalizing: an authentic callback whose body does not fit its row."""


class Misfit(ValueError):
    """The body does not fit its row; the message names the field. The callback is kept verbatim."""
