"""Content credentials of pictures: C2PA manifests, signed into every delivered file (docs/decisions/0009)."""

from mezzotint.provenance.job_provenance import JobProvenance, PictureTools, payload_of
from mezzotint.provenance.read import ContentCredentials, NoPicture, Validity, read_credentials
from mezzotint.provenance.signer import PictureSigner
from mezzotint.provenance.signing_identity import Identity, IdentityInvalid

__all__ = [
    "ContentCredentials",
    "Identity",
    "IdentityInvalid",
    "JobProvenance",
    "NoPicture",
    "PictureSigner",
    "PictureTools",
    "Validity",
    "payload_of",
    "read_credentials",
]
