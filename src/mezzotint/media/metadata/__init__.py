"""Metadata of pictures' files: the recipe of a picture, in the file formats that are delivered."""

from mezzotint import __version__
from mezzotint.media.metadata.embed import convert_to_avif, embed_recipe
from mezzotint.media.metadata.read import FileMetadata, Origin, read_file_texts, read_metadata

SOFTWARE = f"Mezzotint {__version__}"
"""The name and version of this program, as recipes tell it."""

__all__ = ["SOFTWARE", "FileMetadata", "Origin", "convert_to_avif", "embed_recipe", "read_file_texts", "read_metadata"]
