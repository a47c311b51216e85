"""HTML's elements, by what they mean for a translation."""


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


#: A passage ends where one of these begins or ends. Form controls are among them: their words stand by themselves.
BLOCK = _names(
    "address article aside base blockquote body br button caption center col colgroup datalist dd details dialog"
    " dir div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr"
    " html iframe input legend li link listing main menu meta nav noframes noscript ol optgroup option p plaintext"
    " pre script search section select style summary table tbody td template textarea tfoot th thead title tr ul"
    " xmp"
)
#: One of these makes a text one of blocks. A line break does not: it stands in lines that are otherwise plain.
LAYOUT = BLOCK - {"br"}
#: Their content is kept: it is code, no text, or not seen. A browser reads no references in some of them.
KEPT = _names("code iframe kbd math noembed noframes noscript plaintext rp rt samp script style svg var xmp")
#: Line breaks and blanks in them are seen.
PREFORMATTED = _names("listing pre textarea")
#: They have no end tag.
VOID = _names(
    "area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr"
)
_PHRASING = _names(
    "a abbr acronym applet audio b bdi bdo big blink canvas cite data del dfn em font i ins label map mark marquee"
    " meter nobr object output picture progress q ruby s slot small span strike strong sub sup time tt u video"
)
KNOWN = BLOCK | KEPT | VOID | _PHRASING
#: Names that are hardly ever those of a placeholder, as ``<title>`` or ``<time>`` may be.
UNMISTAKABLE = _names("br dd div dl dt em h1 h2 h3 h4 h5 h6 hr img li ol p span strong td th tr ul wbr")
#: Attributes without a value.
BOOLEAN = _names(
    "allowfullscreen async autofocus autoplay checked controls default defer disabled download hidden inert ismap loop"
    " multiple muted nomodule novalidate nowrap open playsinline readonly required reversed selected"
)

_CELL = _names("td th p")
_ROW = _CELL | {"tr"}
_WITHIN_PARAGRAPH = _names("br button iframe input select textarea option optgroup script style")
#: What an element ends by its start, if that has no end tag.
ENDS = (
    {name: _names("p") for name in BLOCK - _WITHIN_PARAGRAPH}
    | {"li": _names("li p"), "dt": _names("dt dd p"), "dd": _names("dt dd p")}
    | {"td": _CELL, "th": _CELL, "tr": _ROW, "option": _names("option"), "optgroup": _names("option")}
    | {name: _ROW | {"tbody", "thead", "tfoot"} for name in ("tbody", "thead", "tfoot")}
)
