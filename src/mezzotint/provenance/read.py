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
    found = {one["label"]: one.get("data") for one in manifest.get("assertions", [])}
    facts = _read_object(found.get(GENERATION))
    actions = _read_objects(_read_object(found.get("c2pa.actions.v2")).get("actions"))
    signature = manifest.get("signature_info", NOTHING)
    generator = next(iter(_read_objects(manifest.get("claim_generator_info"))), NOTHING)
    kinds = [kind.rpartition("/")[2] for one in actions if (kind := _read_text(one, "digitalSourceType"))]
    model = _read_object(facts.get("model"))
    return ContentCredentials(
        validity=Validity(report["validation_state"].lower()),
        problems=tuple(one["code"] for one in results.get("failure", []) if one["code"] != UNTRUSTED),
        signer=_read_text(signature, "common_name"),
        issuer=_read_text(signature, "issuer"),
        software=" ".join(filter(None, (_read_text(generator, "name"), _read_text(generator, "version")))) or None,
        made_at=next((when for one in actions if (when := _read_text(one, "when"))), None),
        actions=tuple(action for one in actions if (action := _read_text(one, "action"))),
        digital_source=kinds[0] if kinds else None,
        job=_read_text(facts, "job"),
        model=_read_text(model, "name"),
        model_sha256=_read_text(model, "sha256"),
        source_sha256=_read_text(_read_object(facts.get("source")), "sha256"),
        styles=tuple(_read_objects(facts.get("styles"))),
        recipe=_read_object(facts.get("recipe")) or None,
    )


def _read_object(found: Any) -> dict[str, Any]:
    """Anybody may sign a manifest of any form: what is no object is taken as an empty one."""
    return found if isinstance(found, dict) else NOTHING


def _read_objects(found: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _read_text(found: Mapping[str, Any], name: str) -> str | None:
    text = found.get(name)
    return text if isinstance(text, str) else None


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
