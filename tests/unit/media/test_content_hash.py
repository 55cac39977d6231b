"""Names of stored bytes."""

from mezzotint.media import content_hash


def test_the_name_is_the_sha256_in_lower_case_hex() -> None:
    # FIPS 180-2, appendix B.1
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
