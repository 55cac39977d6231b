"""XMP packets that hold a recipe. What other programs wrote is found without reading it as XML.

Source: ISO 16684-1. Programs that save a file again may turn the element into an attribute.
"""

import re
from xml.sax.saxutils import escape, unescape

NAMESPACE = "https://mezzotint.dev/ns/recipe/1/"
MAX_BYTES = 256 * 1024
ELEMENT = re.compile(r"<mezzotint:recipe>([^<]*)</mezzotint:recipe>")
ATTRIBUTE = re.compile(r'\smezzotint:recipe="([^"<]*)"')
QUOTES = {"&quot;": '"', "&apos;": "'", "&#34;": '"', "&#39;": "'", "&#xA;": "\n"}


def build_packet(text: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:mezzotint="{NAMESPACE}">'
        f"<mezzotint:recipe>{escape(text)}</mezzotint:recipe>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()


def read_packet(xmp: bytes) -> str:
    """The recipe's text; empty where there is none, or the packet is larger than MAX_BYTES."""
    if len(xmp) > MAX_BYTES:
        return ""
    packet = xmp.decode("utf-8", "replace")
    found = ELEMENT.search(packet) or ATTRIBUTE.search(packet)
    return unescape(found[1], QUOTES) if found else ""
