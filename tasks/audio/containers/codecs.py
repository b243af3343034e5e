"""Names of what libsndfile does not read, so that a message can tell what a file is."""

from __future__ import annotations

_WAV_READ = frozenset({0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031, 0x0038, 0x0040, 0x0050, 0x0055})
_WAV_CODECS = {
    0x000A: "Windows Media Voice",
    0x0010: "OKI ADPCM",
    0x0014: "G.723 ADPCM",
    0x0020: "Yamaha ADPCM",
    0x0022: "TrueSpeech",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0061: "DK4 ADPCM",
    0x0062: "DK3 ADPCM",
    0x0064: "G.726",
    0x0065: "G.722",
    0x0069: "Xbox ADPCM",
    0x0075: "MetaSound",
    0x0083: "G.729",
    0x0092: "Dolby AC-3",
    0x00FF: "AAC",
    0x0130: "Sipro ACELP.net",
    0x0160: "Windows Media Audio 1",
    0x0161: "Windows Media Audio 2",
    0x0162: "Windows Media Audio Professional",
    0x0163: "Windows Media Audio Lossless",
    0x0200: "Creative ADPCM",
    0x0270: "ATRAC3",
    0x028F: "G.722",
    0x0401: "Indeo Audio",
    0x0500: "QDesign Music",
    0x1600: "AAC",
    0x1602: "AAC",
    0x1610: "HE-AAC",
    0x2000: "Dolby AC-3",
    0x2001: "DTS",
    0x566F: "Vorbis",
    0x5756: "WavPack",
    0x674F: "Vorbis",
    0x6750: "Vorbis",
    0x6751: "Vorbis",
    0x676F: "Vorbis",
    0x6770: "Vorbis",
    0x6771: "Vorbis",
    0x704F: "Opus",
    0x706D: "AAC",
    0xA106: "AAC",
    0xA109: "Speex",
    0xF1AC: "FLAC",
}

_AIFC_READ = frozenset({b"NONE", b"sowt", b"twos", b"in24", b"in32", b"ni32", b"42ni", b"42in", b"raw "})
_AIFC_READ |= {b"fl32", b"FL32", b"fl64", b"FL64", b"ulaw", b"ULAW", b"alaw", b"ALAW", b"ima4", b"DWVW", b"GSM "}
_APPLE_CODECS = {
    b"MAC3": "MACE 3:1",
    b"MAC6": "MACE 6:1",
    b"QDMC": "QDesign Music",
    b"QDM2": "QDesign Music 2",
    b"Qclp": "QUALCOMM PureVoice",
    b"aac ": "AAC",
    b"aach": "HE-AAC",
    b"ac-3": "Dolby AC-3",
    b"flac": "FLAC",
    b"opus": "Opus",
    b"AMR ": "AMR",
    b"samr": "AMR",
    b"ilbc": "iLBC",
}

_AU_READ = frozenset({1, 2, 3, 4, 5, 6, 7, 23, 25, 26, 27})
_AU_CODECS = {24: "G.722"}

_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ftyp", "an MP4 or M4A file (AAC or ALAC)", "mov"),
    (4, b"moov", "a QuickTime file", "mov"),
    (4, b"mdat", "a QuickTime file", "mov"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file (WMA)", "asf"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file", "matroska"),
    (8, b"AVI ", "an AVI file", "avi"),
    (0, b"FLV\x01", "a Flash video", "flv"),
    (0, b"\0\0\x01\xba", "an MPEG video", "mpeg"),
    (0, b"\0\0\x01\xb3", "an MPEG video", ""),
    (0, b".RMF", "a RealMedia file", "rm"),
    (0, b".ra\xfd", "a RealAudio file", "rm"),
    (0, b"#!AMR", "an AMR file", "amr"),
    (0, b"wvpk", "a WavPack file", "wv"),
    (0, b"MAC ", "a Monkey's Audio file (APE)", "ape"),
    (0, b"MPCK", "a Musepack file", "mpc8"),
    (0, b"MP+", "a Musepack file", "mpc"),
    (0, b"TTA1", "a True Audio file (TTA)", "tta"),
    (0, b"OFR ", "an OptimFROG file", ""),
    (0, b"tBaK", "a TAK file", "tak"),
    (0, b"ajkg", "a Shorten file", "shn"),
    (0, b"DSD ", "a DSD file (DSF)", "dsf"),
    (0, b"FRM8", "a DSD file (DSDIFF)", "iff"),
    (0, b"\x0b\x77", "an AC-3 file", "ac3"),
    (0, b"\x7f\xfe\x80\x01", "a DTS file", "dts"),
    (0, b"ADIF", "an AAC file", ""),
    (0, b"\xff\xf0", "an AAC file (ADTS)", "aac"),
    (0, b"\xff\xf1", "an AAC file (ADTS)", "aac"),
    (0, b"\xff\xf8", "an AAC file (ADTS)", "aac"),
    (0, b"\xff\xf9", "an AAC file (ADTS)", "aac"),
)
"""Where in a file which bytes tell what it is, and the name of FFmpeg's demuxer for it, if there is one."""

_NO_SOUND: tuple[tuple[bytes, str], ...] = (
    (b"MThd", "a MIDI file, which holds notes"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a file compressed by gzip"),
    (b"<html", "a web page"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<?xml", "an XML file"),
    (b"version https://git-lfs", "a pointer of Git LFS, in place of the file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a log-spectrogram"),
    (b"\xff\xd8\xff", "a log-spectrogram"),
)

HINT = ": convert it first, for instance with 'ffmpeg -i FILE FILE.flac'"
"""What to do about a sound that is not read."""


def wav_codec(tag: int) -> str:
    """Return the name of a WAV's encoding by its format tag; empty if libsndfile reads it."""
    if tag in _WAV_READ:
        return ""
    return f"{_WAV_CODECS.get(tag, 'an unknown codec')} (format tag 0x{tag:04X})"


def aifc_codec(kind: bytes) -> str:
    """Return the name of an AIFC's encoding by its compression type; empty if libsndfile reads it."""
    return "" if kind in _AIFC_READ else _apple_codec(kind)


def caf_codec(kind: bytes) -> str:
    """Return the name of a CAF's encoding by its format; empty if libsndfile reads it."""
    return "" if kind in (b"lpcm", b"ulaw", b"alaw", b"ima4", b"alac") else _apple_codec(kind)


def au_codec(encoding: int) -> str:
    """Return the name of an AU's encoding by its number; empty if libsndfile reads it."""
    if encoding in _AU_READ:
        return ""
    return f"{_AU_CODECS.get(encoding, 'an unknown codec')} (encoding {encoding})"


def no_sound(data: memoryview) -> str:
    """Return what a file is that holds no sound; empty if its beginning does not tell.

    >>> no_sound(memoryview(b"<html><body>Not Found"))
    'a web page'
    """
    head = bytes(data[:64])
    return next((kind for magic, kind in _NO_SOUND if head.startswith(magic)), "")


def foreign_kind(data: memoryview) -> tuple[str, str]:
    """Return what a file is that libsndfile does not read, and FFmpeg's demuxer for it; empty if nothing tells.

    >>> foreign_kind(memoryview(b"wvpk1234"))
    ('a WavPack file', 'wv')
    """
    head = bytes(data[:64])
    found = ((kind, demuxer) for offset, magic, kind, demuxer in _FOREIGN if head[offset:].startswith(magic))
    return next(found, ("", ""))


def _apple_codec(kind: bytes) -> str:
    return f"{_APPLE_CODECS.get(kind, 'an unknown codec')} (compression {kind.decode('latin-1')!r})"
