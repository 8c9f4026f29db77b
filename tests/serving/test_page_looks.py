"""The page on a phone and in the dark."""

import pytest
from playwright.sync_api import expect

from tests.helpers.page_server import WHY, borrow, cards, change_answers, write

DARK, LIGHT = "dark", "light"
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
ENOUGH_CONTRAST = 4.5
#: The background's luminance, and of each visible text the contrast (WCAG) with what is behind it.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).slice(0, 3).map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const node of document.querySelectorAll("body *:not(svg *):not(option):not(script)")) {
    const text = [...node.childNodes].find((c) => c.nodeType === 3 && c.data.trim());
    if (!text || !node.checkVisibility() || node.closest(".toast")) continue;
    const pair = [luminance(getComputedStyle(node).color), luminance(behind(node))];
    found[text.data.trim()] = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  }
  return [luminance(getComputedStyle(document.body).backgroundColor), found];
}"""


def test_a_phone_does_not_scroll_sideways(visit):
    words, name = "w" * 300, "Unbreakable" * 20

    def lengthen(answer):
        (person,) = answer["people"]
        for item in person["recommendations"]:
            item["ProductName"] = "Extraordinarily-Long-" * 12
            if not person["fallback"]:  # what the shop does not have is no reason by itself
                item["because"] = [{"ProductName": name, "text": words, "weight": 1.0}]

    page = visit(lambda page: change_answers(page, lengthen), **PHONE)
    write(page, words, name)
    expect(page.locator(WHY).first).to_be_visible()
    cards(page).first.get_by_role("button", name="Similar").click()
    expect(page.locator(".similar li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    cards(page).first.get_by_role("button", name="Not for me").click()
    toast = page.locator("#toast").bounding_box()
    assert toast["x"] >= 0
    assert toast["x"] + toast["width"] <= 360


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_colours_follow_the_scheme_and_can_be_read(visit, scheme):
    page = visit(color_scheme=scheme)
    borrow(page)
    background, contrasts = page.evaluate(CONTRASTS)
    assert (background < 0.1) == (scheme == DARK)
    assert len(contrasts) > 20
    assert {text: ratio for text, ratio in contrasts.items() if ratio < ENOUGH_CONTRAST} == {}
