"""The headers of every answer of the page. They keep others' scripts, frames and forms out."""

#: Nothing is loaded from elsewhere, nothing inline runs, and no other site may frame the page or receive its forms.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
#: Redoc adds its styles by script. One element is empty when it is added, so its hash is that of nothing. The other one
#: has the style of a scroll bar, which may change with the package.
_STYLES_OF_REDOC = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='",
)
#: ``same-origin`` tells other sites nothing, as no-referrer does. But with no-referrer, browsers would send
#: ``Origin: null`` with our own forms, and ``api.page.origin`` could not tell them from another site's.
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Events arrive as they come only if no proxy holds them back.
EVENT_HEADERS = HEADERS | {"X-Accel-Buffering": "no"}
REDOC_HEADERS = HEADERS | {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY.replace(
        "style-src 'self'", " ".join(("style-src 'self'", *_STYLES_OF_REDOC))
    )
}
