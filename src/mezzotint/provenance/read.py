"""Reads what a file says about its origin, and whether that holds. The files may come from strangers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Any

from mezzotint.provenance.manifest import GENERATION

NOTHING: dict[str, Any] = {}


class Validity(StrEnum):
    """Whether the manifest of a file holds."""

    ABSENT = "absent"
    """The file has none."""
    INVALID = "invalid"
    """The file or the manifest was changed, or the signature does not hold."""
    VALID = "valid"
    """It holds; nobody that is trusted here vouches for the signer."""
    TRUSTED = "trusted"
    """It holds, and a trust anchor vouches for the signer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCredentials:
    """problems: the library's codes of what does not hold. signer, issuer: names in the signer's certificate.
    styles: each with name, weight and sha256. digital_source: IPTC's word for the kind of picture. recipe: prompt and
    seed, where the tenant shows them."""

    validity: Validity
    problems: tuple[str, ...] = ()
    signer: str | None = None
    issuer: str | None = None
    software: str | None = None
    made_at: str | None = None
    actions: tuple[str, ...] = ()
    digital_source: str | None = None
    job: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    source_sha256: str | None = None
    styles: tuple[Mapping[str, Any], ...] = ()
    recipe: Mapping[str, Any] | None = None


class NoPicture(Exception):
    """The file is no picture of a format that can carry a manifest here."""


def find_media_type(data: bytes) -> str:
    """By the file's first bytes: PNG, JPEG, WebP or AVIF. Raises: NoPicture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return "image/avif"
    raise NoPicture("the file is no PNG, JPEG, WebP or AVIF")


def read_manifest(data: bytes, anchors: str = "") -> dict[str, Any] | None:
    """The active manifest, whether it holds or not; None where there is none. Raises: NoPicture."""
    report = _read_report(data, anchors)
    return None if report is None else _active(report)


def read_credentials(data: bytes, anchors: str = "") -> ContentCredentials:
    """anchors: certificates of authorities that are trusted, PEM. Nothing is fetched. Raises: NoPicture."""
    report = _read_report(data, anchors)
    if report is None:
        return ContentCredentials(validity=Validity.ABSENT)
    if "problem" in report:
        return ContentCredentials(validity=Validity.INVALID, problems=(report["problem"],))
    manifest = _active(report)
    results = report.get("validation_results", NOTHING).get("activeManifest", NOTHING)
    found = {one["label"]: one.get("data", NOTHING) for one in manifest.get("assertions", [])}
    facts = found.get(GENERATION, NOTHING)
    actions = [one for one in found.get("c2pa.actions.v2", NOTHING).get("actions", []) if isinstance(one, dict)]
    signature = manifest.get("signature_info", NOTHING)
    generator = (manifest.get("claim_generator_info") or [NOTHING])[0]
    kinds = [one["digitalSourceType"].rpartition("/")[2] for one in actions if "digitalSourceType" in one]
    model = facts.get("model", NOTHING)
    return ContentCredentials(
        validity=Validity(report["validation_state"].lower()),
        problems=tuple(one["code"] for one in results.get("failure", []) if one["code"] != UNTRUSTED),
        signer=signature.get("common_name"),
        issuer=signature.get("issuer"),
        software=" ".join(filter(None, (generator.get("name"), generator.get("version")))) or None,
        made_at=next((one["when"] for one in actions if "when" in one), None),
        actions=tuple(one["action"] for one in actions if "action" in one),
        digital_source=kinds[0] if kinds else None,
        job=facts.get("job"),
        model=model.get("name"),
        model_sha256=model.get("sha256"),
        source_sha256=facts.get("source", NOTHING).get("sha256"),
        styles=tuple(facts.get("styles", ())),
        recipe=facts.get("recipe"),
    )


def _read_report(data: bytes, anchors: str) -> dict[str, Any] | None:
    """The library's report; one with `problem` alone where the manifest is past reading. None: there is none.

    Raises: NoPicture.
    """
    import c2pa

    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if anchors:
        settings["trust"] = {"trust_anchors": anchors}
    media_type = find_media_type(data)
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        with c2pa.Reader(media_type, BytesIO(data), context=context) as reader:
            report: dict[str, Any] = json.loads(reader.json())
            return report
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        return {"problem": str(error)[:200]}


def _active(report: dict[str, Any]) -> dict[str, Any]:
    found = report.get("manifests", NOTHING).get(report.get("active_manifest"), NOTHING)
    return found if isinstance(found, dict) else NOTHING


UNTRUSTED = "signingCredential.untrusted"
