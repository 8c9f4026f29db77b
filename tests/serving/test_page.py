"""The page, used as a person uses it: by mouse and by keyboard."""

import json
import re

from playwright.sync_api import Page, Request, expect

from tests.helpers.page_server import (
    RECOMMENDATIONS,
    WHY,
    borrow,
    cards,
    change_answers,
    names,
    wish,
    write,
)

NASTY = '<b>Bold</b> & "quoted" <img src=x onerror=alert(1)>'
MOST_TABS = 40


def tab_to(page: Page, selector: str) -> None:
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the tab key does not lead to {selector}")


def asked(request: Request) -> dict:
    return json.loads(request.post_data)


def test_a_demo_person_gets_suggestions_with_reasons(visit):
    page = visit()
    expect(page.locator("#people button").first).to_be_visible()
    borrow(page)
    expect(cards(page)).to_have_count(10)
    expect(page.locator("#range")).to_contain_text("guess")
    why = page.locator(WHY).first
    why.click()
    expect(why).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".because li").first.locator(".bar")).to_have_attribute(
        "aria-label", re.compile(r"\d+ percent")
    )
    why.click()
    expect(page.locator(".because")).to_have_count(0)
    expect(page.locator("#people button").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#people button").first).to_contain_text(re.compile(r", \d+ reviews"))


def test_a_wish_gets_what_matches_it_with_what_somebody_wrote(visit):
    page = visit()
    wish(page, "ukulele")
    expect(cards(page).first.locator("h3")).to_contain_text("Ukulele")
    expect(cards(page).first.locator(".match")).to_have_text("Described with your words: ukulele")
    quote = cards(page).first.locator(".quote")
    expect(quote.locator("mark")).to_have_text(re.compile("ukulele", re.IGNORECASE))
    expect(quote.locator(".stars")).to_have_attribute(
        "aria-label", re.compile(r"[1-5]\.\d of 5 stars from who wrote this")
    )
    expect(page.locator("#notices .notice")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#wish")).to_be_focused()
    expect(page.locator("#notices")).to_contain_text("popular products")


def test_an_example_wish_is_taken_by_a_click_and_put_away_by_another(visit):
    page = visit()
    examples = page.locator("#examples button")
    expect(examples).to_have_count(4)
    words = examples.nth(1).text_content()
    with page.expect_request(RECOMMENDATIONS) as sent:
        examples.nth(1).click()
    assert asked(sent.value)["wish"] == words
    expect(page.get_by_label("What are you looking for?")).to_have_value(words)
    expect(examples.nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#cards .match").first).to_be_visible()
    with page.expect_request(RECOMMENDATIONS) as sent:
        examples.nth(1).click()
    assert "wish" not in asked(sent.value)


def test_while_somebody_types_one_request_is_sent(visit):
    page = visit()
    expect(cards(page)).to_have_count(10)
    sent = []
    page.on("request", lambda request: sent.append(request))
    wish(page, "a small ukulele")
    assert [asked(request)["wish"] for request in sent] == ["a small ukulele"]
    page.get_by_label("What are you looking for?").fill("a cajon")
    with page.expect_request(RECOMMENDATIONS) as now:
        page.keyboard.press("Enter")
    assert asked(now.value)["wish"] == "a cajon"
    assert page.get_by_label("What are you looking for?").input_value() == "a cajon"


def test_a_wish_and_a_history_count_together(visit):
    page = visit()
    borrow(page)
    with page.expect_request(RECOMMENDATIONS) as sent:
        page.get_by_label("What are you looking for?").fill("ukulele")
    assert asked(sent.value)["wish"] == "ukulele"
    assert len(asked(sent.value)["reviews"]) > 1
    expect(page.locator("#cards .match").first).to_be_visible()
    page.reload()
    expect(page.get_by_label("What are you looking for?")).to_have_value("ukulele")
    expect(page.locator("#cards .match").first).to_be_visible()


def test_what_was_disliked_is_no_reason(visit):
    page = visit()
    expect(cards(page)).to_have_count(10)
    disliked = names(page)[0]
    cards(page).first.get_by_role("button", name="I tried it").click()
    page.locator("label[for=star-1]").click()
    page.get_by_label("In your own words").fill("I hate it.")
    with page.expect_response(RECOMMENDATIONS):
        page.get_by_role("button", name="Add review").click()
    expect(page.locator("#notices .notice")).to_have_count(0)
    assert disliked not in names(page)
    assert page.locator(WHY).count() == 0


def test_words_without_product_and_stars_are_a_wish(visit):
    page = visit()
    page.get_by_label("In your own words").fill("something warm")
    expect(page.locator("#text-note")).to_contain_text("what you look for")
    with page.expect_request(RECOMMENDATIONS) as sent:
        page.get_by_role("button", name="Look for this").click()
    assert asked(sent.value) == {"reviews": [], "k": 10, "wish": "something warm"}
    expect(page.get_by_label("What are you looking for?")).to_have_value("something warm")
    expect(page.locator("#reviews li")).to_have_count(0)
    page.get_by_label("In your own words").fill("and light")
    page.locator("label[for=star-2]").click()
    expect(page.locator("#text-note")).to_be_empty()
    expect(page.get_by_role("button", name="Add review")).to_be_visible()


def test_stars_that_hardly_differ_are_said_once(visit):
    def alike(answer):
        for number, item in enumerate(answer["people"][0]["recommendations"]):
            item["predicted_rating"] = 4.31 + number % 2 / 10

    page = visit(lambda page: change_answers(page, alike))
    expect(page.locator("#range")).to_have_text("All between 4.3 and 4.4 stars for you, we guess")
    expect(page.locator(".guess")).to_have_count(0)


def test_stars_that_differ_stand_on_the_cards(visit):
    def apart(answer):
        for number, item in enumerate(answer["people"][0]["recommendations"]):
            item["predicted_rating"] = 4.3 - number % 2

    page = visit(lambda page: change_answers(page, apart))
    expect(cards(page).nth(1).locator(".guess .stars")).to_have_attribute(
        "aria-label", "3.3 of 5 stars, our guess for you"
    )


def test_the_map_has_a_lit_dot_for_each_suggestion_and_says_so_in_words(visit):
    page = visit()
    borrow(page)
    expect(page.locator("#map-frame .mark.lit")).to_have_count(cards(page).count())
    expect(page.locator("#map-frame .mark.own").first).to_be_attached()
    expect(page.locator("#map-frame .mark.you")).to_have_count(1)
    page.get_by_text("The map in words").click()
    expect(page.locator("#map-words")).to_contain_text(names(page)[0])
    label = page.locator("#map-frame .regions text").first.text_content()
    expect(page.locator("#map-words")).to_contain_text(label)


def test_list_and_map_light_each_other(visit):
    page = visit()
    borrow(page)
    name = names(page)[1]
    cards(page).nth(1).hover()
    expect(page.locator("#map-frame .mark.lit.pointed")).to_have_attribute(
        "aria-label", f"Suggested: {name}"
    )
    page.locator("#map-frame .mark.lit").nth(2).focus()
    expect(page.locator("#cards .card.pointed h3")).to_have_text(names(page)[2])
    expect(page.locator("#map-frame .tip")).to_have_text(names(page)[2])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#cards .card.pointed h3")).to_have_text(names(page)[3])
    page.keyboard.press("Enter")
    expect(cards(page).nth(3)).to_be_focused()


def test_a_review_is_written_with_the_keyboard_alone(visit):
    page = visit()
    expect(cards(page)).to_have_count(10)
    before = names(page)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the recommendations")).to_be_focused()
    tab_to(page, "[href='#review-form']")
    page.keyboard.press("Enter")
    tab_to(page, "#product")
    page.keyboard.type(before[0].split()[0][:3])
    options = page.locator("#product-options").get_by_role("option")
    expect(options.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#product")).to_have_attribute("aria-activedescendant", "product-option-0")
    chosen = options.first.locator(".option-name").text_content()
    page.keyboard.press("Enter")
    expect(page.locator("#product")).to_have_value(chosen)
    expect(page.locator("#product-options")).to_be_hidden()
    tab_to(page, "#star-1")
    page.keyboard.press("Space")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#stars")).to_have_attribute("data-value", "5")
    tab_to(page, "#text")
    page.keyboard.type("So light and warm that I take it everywhere.")
    tab_to(page, "#save-review")
    with page.expect_request(RECOMMENDATIONS) as sent:
        page.keyboard.press("Enter")
    (review,) = asked(sent.value)["reviews"]
    assert (review["ProductName"], review["rating"]) == (chosen, 5)
    assert review["asin"]
    expect(page.locator("#reviews .review-name")).to_have_text(chosen)
    expect(page.locator(WHY).first).to_be_visible()
    assert names(page) != before
    assert chosen not in names(page)


def test_markup_is_shown_as_it_was_written(visit):
    def rename(answer):
        item = answer["people"][0]["recommendations"][0]
        item["ProductName"] = item["reason"] = NASTY
        quote = {"text": NASTY, "rating": 5.0}
        item["match"] = {"weight": 0, "words": [NASTY, "bold"], "quote": quote}

    page = visit(lambda page: change_answers(page, rename))
    write(page, NASTY, NASTY)
    expect(page.locator("#reviews .review-name")).to_have_text(NASTY)
    expect(page.locator("#reviews .review-text")).to_have_text(NASTY)
    expect(cards(page).first.locator("h3")).to_have_text(NASTY)
    expect(cards(page).first.locator(".reason")).to_have_text(NASTY)
    expect(cards(page).first.locator(".match")).to_contain_text(NASTY)
    expect(cards(page).first.locator("q")).to_have_text(NASTY)
    assert page.locator("main b", has_text=re.compile("^Bold$")).count() == 0
    assert page.locator("main img").count() == 0


def test_without_reviews_the_page_says_that_these_are_popular_products(visit):
    page = visit()
    expect(page.locator("#notices")).to_contain_text("popular products")
    expect(page.locator("#no-reviews")).to_be_visible()
    borrow(page)
    expect(page.locator("#notices .notice")).to_have_count(0)
    expect(page.locator("#no-reviews")).to_be_hidden()


def test_a_reload_keeps_the_reviews_and_start_over_clears_them(visit):
    page = visit()
    write(page, "Warm and light")
    page.reload()
    expect(page.locator("#reviews .review-text")).to_have_text("Warm and light")
    expect(page.locator(WHY).first).to_be_visible()
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#reviews li")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#reviews .review-text")).to_have_text("Warm and light")
    page.get_by_role("button", name="Start over").click()
    page.reload()
    expect(cards(page)).to_have_count(10)
    expect(page.locator("#reviews li")).to_have_count(0)


def test_a_review_is_changed_and_removed(visit):
    page = visit()
    write(page, "Warm and light")
    page.get_by_role("button", name="Edit your review").click()
    page.get_by_label("In your own words").fill("Cold and heavy")
    with page.expect_request(RECOMMENDATIONS) as sent:
        page.get_by_role("button", name="Save changes").click()
    assert [review["TextReview"] for review in asked(sent.value)["reviews"]] == ["Cold and heavy"]
    expect(page.locator("#reviews .review-text")).to_have_text("Cold and heavy")
    page.get_by_role("button", name="Remove your review").click()
    expect(page.locator("#reviews li")).to_have_count(0)
    expect(page.locator("#notices")).to_contain_text("popular products")


def test_an_empty_review_is_refused_in_words(visit):
    page = visit()
    page.get_by_role("button", name="Add review").click()
    expect(page.locator("#form-error")).to_contain_text("write a few words")
    expect(page.locator("#reviews li")).to_have_count(0)


def test_not_interested_hides_a_product_until_undone(visit):
    page = visit()
    borrow(page)
    gone = names(page)[0]
    with page.expect_request(RECOMMENDATIONS) as sent:
        cards(page).first.get_by_role("button", name="Not for me").click()
    assert len(asked(sent.value)["exclude"]) == 1
    expect(page.locator("#hidden")).to_contain_text("1 product hidden")
    expect(cards(page)).to_have_count(10)
    assert gone not in names(page)
    page.get_by_role("button", name="Undo").click()
    expect(cards(page).first.locator("h3")).to_have_text(gone)
    expect(page.locator("#hidden")).to_be_hidden()


def test_similar_products_appear_on_demand_and_one_can_be_reviewed(visit):
    page = visit()
    borrow(page)
    cards(page).first.get_by_role("button", name="Similar").click()
    similar = cards(page).first.locator(".similar li")
    expect(similar.first).to_be_visible()
    similar.first.get_by_role("button", name="I tried it").click()
    name = page.locator("#product").input_value()
    expect(similar.first).to_contain_text(name)
    expect(page.locator("#star-1")).to_be_focused()


def test_a_review_that_was_begun_can_be_brought_back(visit):
    page = visit()
    borrow(page)
    page.get_by_label("In your own words").fill("Half a tho")
    cards(page).first.get_by_role("button", name="I tried it").click()
    expect(page.get_by_label("What did you try?")).to_have_value(names(page)[0])
    expect(page.get_by_label("In your own words")).to_have_value("")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("In your own words")).to_have_value("Half a tho")
    expect(page.get_by_label("What did you try?")).to_have_value("")


def test_an_empty_list_says_so(visit):
    def empty(answer):
        answer["people"][0]["recommendations"] = []

    page = visit(lambda page: change_answers(page, empty))
    expect(page.locator("#nothing")).to_contain_text("No suggestions right now")


def test_category_and_number_are_asked_for(visit):
    page = visit()
    borrow(page)
    style = page.locator("#style option").nth(1).text_content()
    page.get_by_label("Show").select_option("5")
    page.get_by_label("Category").select_option(style)
    expect(cards(page)).to_have_count(5)
    expect(cards(page).locator(".category")).to_have_text([style] * 5)


def test_an_answer_that_is_out_of_date_is_dropped(visit):
    page = visit()
    borrow(page)
    page.route(RECOMMENDATIONS, lambda route: None, times=1)  # never answered
    with page.expect_request(RECOMMENDATIONS):
        page.get_by_label("Show").select_option("20")
    with page.expect_event("requestfailed") as dropped:
        page.get_by_label("Show").select_option("5")
    assert asked(dropped.value)["k"] == 20
    expect(cards(page)).to_have_count(5)
