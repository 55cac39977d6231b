"""Judge texts and pictures for clients that only want a verdict: by the filters and the policy that judge requests."""

from dataclasses import replace

from mezzotint.actions.screen import TextScreen
from mezzotint.actions.upload import JudgePicture, Uploader, decode_picture, view_picture
from mezzotint.domain.claims import Claims
from mezzotint.domain.ids import Sha256
from mezzotint.domain.refusal import Refusal
from mezzotint.media import content_hash
from mezzotint.media.uploads import Reading
from mezzotint.policy.safety.images import ImageVerdict
from mezzotint.policy.safety.text_verdict import TextVerdict
from mezzotint.policy.safety.verdicts import SafetyVerdict


async def moderate_text(screen: TextScreen, text: str, claims: Claims) -> TextVerdict | Refusal:
    screened = await screen.screen_texts([(text, "")], claims.tenant, claims.tier)
    return screened if isinstance(screened, Refusal) else screened[0]


async def moderate_picture(
    uploader: Uploader, judge: JudgePicture, data: bytes, claims: Claims
) -> ImageVerdict | Refusal:
    """Judge a picture file, which is not kept. A refusal where it cannot be read."""

    def decode_and_judge() -> tuple[ImageVerdict, Sha256] | Refusal:
        decoded = decode_picture(uploader, data, Reading.PICTURE)
        if isinstance(decoded, Refusal):
            return decoded
        return judge(view_picture(decoded), claims.tier), content_hash(decoded.png)

    judged = await uploader.threads.run(claims.tenant, decode_and_judge)
    if isinstance(judged, Refusal):
        return judged
    verdict, content = judged
    is_listed = await uploader.is_listed([content, content_hash(data)])
    return replace(verdict, verdict=SafetyVerdict.BLOCK) if is_listed else verdict
