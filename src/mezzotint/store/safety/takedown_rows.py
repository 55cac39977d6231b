"""From rows of takedowns to values and back."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from mezzotint.domain.ids import JobId, OwnerId, Sha256, TakedownId, TenantId
from mezzotint.domain.safety.takedown import (
    PictureKind,
    PictureSelection,
    StoredPicture,
    Takedown,
    TakedownPhase,
    WithdrawnPicture,
)
from mezzotint.domain.tier import Tier

INSTANTS = ("since", "until", "created_at", "used_at")
"""Keys of the documents here whose values are instants."""


def document_of_selection(selection: PictureSelection) -> dict[str, Any]:
    """The selection in JSON's types, its lists in order: equal selections have equal documents."""
    document = encode_instants(asdict(selection))
    return {name: sorted(value) if isinstance(value, tuple) else value for name, value in document.items()}


def selection_of(document: dict[str, Any]) -> PictureSelection:
    values: dict[str, Any] = decode_instants(document)
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return PictureSelection(**values)


def digest_of(selection: PictureSelection) -> str:
    return hashlib.sha256(json.dumps(document_of_selection(selection), sort_keys=True).encode()).hexdigest()


def encode_instants(values: dict[str, Any]) -> dict[str, Any]:
    """The values with instants as text, which JSON can hold."""
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def decode_instants(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in INSTANTS and value is not None else value
        for name, value in document.items()
    }


def takedown_of(row: RowMapping) -> Takedown:
    plain = {name: row[name] for name in Takedown.__slots__ if name not in {"id", "phase", "selection"}}
    return Takedown(
        id=TakedownId(row["id"]),
        phase=TakedownPhase(row["phase"]),
        selection=selection_of(row["selection"]),
        **plain,
    )


def drawn_picture_of(row: RowMapping) -> StoredPicture:
    """From a row of `images` with the prompt and the parameters of its job."""
    return StoredPicture(
        seq=row["seq"],
        kind=PictureKind.DRAWN,
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        png=Sha256(row["png"]),
        webp=Sha256(row["webp"]),
        job=JobId(row["job"]),
        prompt=row["raw_prompt"],
        negative_prompt=row["parameters"].get("negative_prompt", ""),
        tier=Tier(row["tier"]),
        pdq=row["pdq"],
        pdq_quality=row["pdq_quality"],
        created_at=row["created_at"],
        verdict=row["verdict"],
        scores=row["scores"] or {},
        prompt_scores=(row["screening"] or {}).get("scores", {}),
    )


def uploaded_picture_of(row: RowMapping) -> StoredPicture:
    return StoredPicture(
        seq=row["seq"],
        kind=PictureKind.UPLOADED,
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        png=Sha256(row["content"]),
        created_at=row["used_at"],
    )


def withdrawn_picture_of(row: RowMapping) -> WithdrawnPicture:
    picture = StoredPicture(
        seq=row["seq"],
        kind=PictureKind(row["kind"]),
        tenant=TenantId(row["tenant"]),
        owner=OwnerId(row["owner"]),
        png=Sha256(row["png"]),
        webp=None if row["webp"] is None else Sha256(row["webp"]),
        job=None if row["job"] is None else JobId(row["job"]),
    )
    return WithdrawnPicture(seq=row["seq"], takedown=TakedownId(row["takedown"]), picture=picture)
