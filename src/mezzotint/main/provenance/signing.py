"""The signer that the settings name."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from mezzotint.config import Settings
from mezzotint.domain.drawing.recipe import RecipeAudience
from mezzotint.domain.errors import DataFolderUnusable, SettingInvalid
from mezzotint.domain.ids import TenantId
from mezzotint.gateway import Issuer
from mezzotint.main.data_folder import load_secret
from mezzotint.main.json_cache import JsonCache
from mezzotint.provenance import Identity, IdentityInvalid, JobProvenance, PictureSigner
from mezzotint.provenance.authority import AuthorityFiles, make_authority
from mezzotint.provenance.model_hash import hash_parts
from mezzotint.store import Tenants

log = structlog.get_logger()


def find_signer(settings: Settings, *, makes_authority: bool = True) -> PictureSigner | None:
    """The signer; None where nothing is signed. The data folder is there already.

    makes_authority: whether a development authority is made where the settings name no certificates; without it, none
    is no error. Raises: SettingInvalid, DataFolderUnusable.
    """
    if not settings.provenance:
        return None
    own = own_authority(settings)
    if settings.provenance_certificates is None:
        if settings.provenance_key is not None or settings.provenance_signer is not None:
            raise SettingInvalid("provenance_key and provenance_signer need provenance_certificates, the chain in PEM")
        if not makes_authority and not own.chain.exists():
            return None
        make_own_authority(settings)
    try:
        return PictureSigner(_read_identity(settings, own))
    except IdentityInvalid as error:
        raise SettingInvalid(f"provenance: {error}") from error


def own_authority(settings: Settings) -> AuthorityFiles:
    return AuthorityFiles(settings.data / "provenance")


def make_own_authority(settings: Settings) -> bool:
    """Returns whether it was made. Raises: DataFolderUnusable."""
    folder = own_authority(settings).folder
    try:
        is_new = make_authority(folder)
    except OSError as error:
        raise DataFolderUnusable(f"{folder} cannot be made: {error.strerror}") from error
    if is_new:
        log.info("development certificate authority made", folder=str(folder))
    return is_new


def read_anchors(settings: Settings) -> str:
    """Certificates that vouch for signers, PEM: this installation's own root, and the file of the settings.

    Raises: SettingInvalid.
    """
    own = own_authority(settings).root
    try:
        texts = [own.read_text("ascii")] if own.exists() else []
        if settings.provenance_anchors is not None:
            texts.append(settings.provenance_anchors.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingInvalid(f"provenance_anchors: {error}") from error
    return "\n".join(texts)


def find_watermark_key(settings: Settings, *, make: bool = False) -> bytes:
    """Follows from the secret that signs tokens: processes that share it read each other's marks.

    make: whether a secret is made where there is none. Raises: SettingInvalid, DataFolderUnusable, DatabaseMissing.
    """
    return Issuer(load_secret(settings, make=make)).derive("watermark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """signer: None where nothing is signed. places: folders or files of each model's weights, by its name."""

    signer: PictureSigner | None = None
    places: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    def build_job_provenance(self, settings: Settings, tenants: Tenants) -> JobProvenance:
        watermark_key = find_watermark_key(settings, make=True) if settings.watermark else None
        hashes = ModelHashes(places=self.places, known=JsonCache(settings.data / "model-hashes.json"))

        async def shows_recipe(tenant: TenantId) -> bool:
            found = await tenants.present(tenant)
            return found is not None and found.recipe_audience is RecipeAudience.EVERYBODY

        return JobProvenance(
            signer=self.signer,
            hash_model=hashes.hash_model,
            shows_recipe=shows_recipe,
            watermark_key=watermark_key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHashes:
    """Hashes of models by name, each found once in a process."""

    places: Mapping[str, Sequence[Path]]
    known: MutableMapping[str, str]
    _by_name: dict[str, str] = field(default_factory=dict)

    def hash_model(self, name: str) -> str | None:
        """Hash a model's files; None for a model that is not here, or cannot be read."""
        if name not in self._by_name and name in self.places:
            try:
                self._by_name[name] = hash_parts(self.places[name], self.known)
            except OSError as error:
                log.warning("model not hashed", model=name, why=str(error))
        return self._by_name.get(name)


def _read_identity(settings: Settings, own: AuthorityFiles) -> Identity:
    """Raises: IdentityInvalid, SettingInvalid."""
    chain = settings.provenance_certificates
    if chain is None:
        return Identity.from_files(own.chain, own.key)
    if (settings.provenance_key is None) == (settings.provenance_signer is None):
        raise SettingInvalid("provenance_certificates needs one of provenance_key and provenance_signer")
    if settings.provenance_key is not None:
        return Identity.from_files(chain, settings.provenance_key)
    token = settings.provenance_signer_token
    return Identity.from_remote(chain, settings.provenance_signer or "", token.get_secret_value() if token else None)
