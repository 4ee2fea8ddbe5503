"""Errors, named for who can mend them."""


class UserError(Exception):
    """The caller can mend it: hyperparameters, data, a request. Exit code 2; status 4xx."""


class DataError(UserError):
    """Bytes that are not what their content type promises.

    The text says where (file, record), what was found and what was expected. Whoever knows more about the
    place (a channel, a request) raises its own UserError from this one.
    """


class AlgorithmError(Exception):
    """Ours to mend: a bug. Exit code 1; status 500."""


class PlatformError(Exception):
    """Whoever runs the container can mend it: folders, hosts, disks. Exit code 3; status 500."""
