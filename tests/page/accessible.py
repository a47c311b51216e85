"""What can be measured of a page's accessibility: names, order, contrast, and whether it fits its width."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Each visible field and control without a name; each table without a caption or with a header cell without a scope;
#: each image without a text; each id that occurs twice; and headings that skip a level.
_NAMELESS = """
() => {
  const found = [];
  const visible = (element) => element.getClientRects().length > 0;
  const controls = "input:not([type=hidden]), select, textarea, button, a[href], summary";
  for (const element of document.querySelectorAll(controls)) {
    if (!visible(element)) continue;
    const label = element.labels && element.labels.length ? element.labels[0].textContent : "";
    const name = element.getAttribute("aria-label") || label || element.textContent || element.value || "";
    if (!name.trim()) found.push("no name: " + element.outerHTML.slice(0, 120));
  }
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption) found.push("no caption");
    for (const head of table.querySelectorAll("th")) if (!head.scope) found.push("no scope: " + head.textContent);
  }
  for (const image of document.querySelectorAll("svg[role=img]")) {
    if (!image.querySelector("title")) found.push("no title");
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push("twice: " + id);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3")) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) found.push("skips a level: " + heading.textContent);
    level = next;
  }
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  if (!document.documentElement.lang) found.push("no language");
  return found;
}
"""

#: Each text whose contrast with what is behind it is below WCAG's 4.5, or 3 for large texts.
_FAINT = """
() => {
  const parse = (color) => (color.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((v) => {
      const part = v / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parse(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.getClientRects().length) continue;
    if (["SCRIPT", "STYLE", "OPTION", "TITLE", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const [high, low] = [luminance(ink), luminance(behind(element))].sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) found.push(contrast.toFixed(2) + ": " + element.outerHTML.slice(0, 120));
  }
  return found;
}
"""

#: Pixels by which the page is wider than its window. Tables scroll in regions of their own.
_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def require_accessible(page: "Page") -> None:
    """Fails with a list of what is wrong."""
    found: list[Any] = [*page.evaluate(_NAMELESS), *page.evaluate(_FAINT)]
    assert found == [], page.url
    assert page.evaluate(_OVERFLOW) <= 0, page.url


def focused(page: "Page") -> str:
    """The name of what has the focus."""
    name: str = page.evaluate(
        "() => { const e = document.activeElement; return e.getAttribute('aria-label')"
        " || (e.labels && e.labels.length ? e.labels[0].textContent : '') || e.textContent || e.id || e.tagName; }"
    )
    return " ".join(name.split())


def has_ring(page: "Page") -> bool:
    """Whether the focus can be seen."""
    shown: bool = page.evaluate(
        "() => { const s = getComputedStyle(document.activeElement);"
        " return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; }"
    )
    return shown


def tab_to(page: "Page", name: str, most: int = 60) -> None:
    """Presses Tab until this has the focus. Each stop on the way must be visible as one."""
    for _ in range(most):
        page.keyboard.press("Tab")
        assert has_ring(page), focused(page)
        if focused(page).startswith(name):
            return
    raise AssertionError(f"Tab never comes to {name}")


def follow(page: "Page", name: str, url: str) -> None:
    """Comes to this link or button by Tab, presses Enter, and waits for the page that it leads to."""
    tab_to(page, name)
    page.keyboard.press("Enter")
    page.wait_for_url(url)
