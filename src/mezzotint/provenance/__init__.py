"""Where a picture comes from: C2PA manifests, signed into every delivered file (docs/decisions/0009)."""

from mezzotint.provenance.identity import Identity, IdentityInvalid
from mezzotint.provenance.job_signer import JobSigner
from mezzotint.provenance.read import ContentCredentials, NoPicture, Validity, read_credentials
from mezzotint.provenance.signer import PictureSigner

__all__ = [
    "ContentCredentials",
    "Identity",
    "IdentityInvalid",
    "JobSigner",
    "NoPicture",
    "PictureSigner",
    "Validity",
    "read_credentials",
]
