"""The names of the HTML standard: elements with what they are to a reader, and attributes. SVG's and MathML's too."""

_LINES = "address article aside blockquote body br caption center col colgroup dd details dialog dir div dl dt fieldset"
_LINES += " figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main"
_LINES += (
    " marquee menu menuitem nav ol optgroup option p pre search section summary table tbody tfoot thead title tr ul"
)
_INLINE = "a abbr acronym applet area audio b base basefont bdi bdo bgsound big blink button canvas cite code data"
_INLINE += " datalist del dfn em embed font i iframe image img input ins isindex kbd keygen label link listing map mark"
_INLINE += (
    " meta meter nobr noembed noframes noscript o:p object output param picture plaintext progress q rb rp rt rtc"
)
_INLINE += " ruby s samp script select selectedcontent slot small source spacer span strike strong style sub sup svg"
_INLINE += " template textarea time track tt u var video wbr xmp"
_SVG = "animate animatemotion animatetransform circle clippath defs desc ellipse feblend fecolormatrix"
_SVG += " fecomponenttransfer fecomposite fedropshadow feflood fegaussianblur feimage femerge femergenode femorphology"
_SVG += " feoffset filter foreignobject g line lineargradient marker mask metadata mpath path pattern polygon polyline"
_SVG += " radialgradient rect set stop switch symbol text textpath tspan use view"
_MATHML = (
    "annotation annotation-xml maction math merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts"
)
_MATHML += " mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover semantics"

#: What stands between the words before and after a tag on the page: a blank (a line break is one too), or nothing.
GAPS = dict.fromkeys(f"{_INLINE} {_SVG} {_MATHML}".split(), "") | dict.fromkeys(f"{_LINES} td th".split(), " ")

#: Elements whose content is no text of the page.
UNSEEN = frozenset({"script", "style"})
#: Elements that hold no tags: ``<`` is a character of their text.
TEXT_ONLY = frozenset({"textarea", "title"})

_GLOBAL = "accesskey autocapitalize autocorrect autofocus class contenteditable dir draggable enterkeyhint exportparts"
_GLOBAL += " hidden id inert inputmode is itemid itemprop itemref itemscope itemtype lang nonce part popover role slot"
_GLOBAL += " spellcheck style tabindex title translate writingsuggestions xmlns"
_OWN = "abbr accept accept-charset action align alink allow allowfullscreen alt as async autocomplete autoplay axis"
_OWN += " background bgcolor blocking border cellpadding cellspacing char charoff charset checked cite clear code color"
_OWN += (
    " cols colspan command commandfor compact content controls controlslist coords crossorigin data datetime declare"
)
_OWN += " decoding default defer dirname disabled disablepictureinpicture download enctype face fetchpriority for form"
_OWN += (
    " formaction formenctype formmethod formnovalidate formtarget frame frameborder headers height high href hreflang"
)
_OWN += (
    " hspace http-equiv imagesizes imagesrcset integrity ismap kind label language link list loading longdesc loop low"
)
_OWN += " marginheight marginwidth max maxlength media method min minlength multiple muted name nohref nomodule"
_OWN += " noresize noshade novalidate nowrap open optimum pattern ping placeholder playsinline"
_OWN += " popovertarget popovertargetaction poster preload property readonly referrerpolicy rel required rev reversed"
_OWN += " rows rowspan rules sandbox scope scrolling selected shadowrootmode shape size sizes span src srcdoc"
_OWN += " srclang srcset standby start step summary target text type usemap valign value valuetype version vlink vspace"
_OWN += " width wrap"
_SVG_OWN = (
    "clip-path clip-rule cx cy d dx dy fill fill-opacity fill-rule font-family font-size font-style font-weight fx"
)
_SVG_OWN += " fy gradienttransform gradientunits offset opacity pathlength points preserveaspectratio r rx ry"
_SVG_OWN += (
    " stop-color stop-opacity stroke stroke-dasharray stroke-linecap stroke-linejoin stroke-opacity stroke-width"
)
_SVG_OWN += " text-anchor transform viewbox x x1 x2 xlink:href xml:lang xml:space y y1 y2"

ATTRIBUTES = frozenset(f"{_GLOBAL} {_OWN} {_SVG_OWN}".split())

_LINK_TYPES = "alternate author bookmark canonical external help icon license modulepreload next nofollow noopener"
_LINK_TYPES += " noreferrer opener prev preload search sponsored stylesheet tag ugc"
#: Words that HTML itself gives a meaning as the value of ``rel`` and ``target``.
KEYWORDS = frozenset(f"{_LINK_TYPES} _blank _parent _self _top".split())
