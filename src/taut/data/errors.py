"""What can be wrong with data, as exceptions that say what to do."""


class MissingData(FileNotFoundError):
    """Files of a dataset are not where they should be."""


class WrongChecksum(ValueError):
    """A file is not the one that its dataset's card names."""


class FetchFailed(OSError):
    """A download could not be finished; what was received is kept for the next try."""
