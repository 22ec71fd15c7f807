"""What can go wrong with model files. It does not know who asks for them.

ModelError
├── UnknownModel     the name is not in lock.toml
├── ModelMissing     not fetched yet, or damaged since
├── FetchFailed      no source had the file with the right sha256
└── ConvertFailed    fetched, but not turned into what the engine loads
"""


class ModelError(Exception):
    """The message says what happened, where, and what to do."""


class UnknownModel(ModelError):
    pass


class ModelMissing(ModelError):
    pass


class FetchFailed(ModelError):
    pass


class ConvertFailed(ModelError):
    pass


class SourceFailed(Exception):
    """One source did not give the file; the next one may."""


class SourceUnreachable(SourceFailed):
    """It will not give the other files either."""
