"""The version, where every room can have it: the package's own file has the engine's names as well."""

__version__ = "0.1.0"
