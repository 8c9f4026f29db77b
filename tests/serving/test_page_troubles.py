"""What the page does when the service does not answer as hoped."""

from playwright.sync_api import Page, expect

from tests.helpers.page_server import RECOMMENDATIONS, WHY, answer_with, change_answers, write


def ready(page: Page) -> Page:
    expect(page.locator("#notices")).to_contain_text("popular products")
    return page


def test_a_busy_service_is_asked_again_after_the_time_it_names(visit):
    page = ready(visit())
    answer_with(page, 503, "Triton is busy", **{"Retry-After": "2"})
    write(page, "Warm and light")
    expect(page.locator("#trouble")).to_contain_text("The service is busy")
    expect(page.locator("#trouble .countdown")).to_contain_text("Trying again in")
    expect(page.locator("#live")).to_contain_text("We try again in 2 seconds")
    expect(page.locator(WHY).first).to_be_visible()
    expect(page.locator("#trouble .notice")).to_have_count(0)


def test_a_busy_service_at_the_start_recovers_with_all_parts(visit):
    def refuse_first(page):
        answer_with(page, 503, "Triton is starting", **{"Retry-After": "1"})
        for path in ("**/people", "**/map", "**/styles"):
            page.route(path, lambda route: route.fulfill(status=503), times=1)

    page = ready(visit(refuse_first))
    expect(page.locator("#people button").first).to_be_visible()
    expect(page.locator("#map-words")).to_contain_text("The map shows")
    assert page.locator("#style option").count() > 1


def test_try_now_does_not_wait(visit):
    page = ready(visit())
    answer_with(page, 503, "Triton is busy", **{"Retry-After": "100"})
    write(page, "Warm and light")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(WHY).first).to_be_visible()


def test_a_message_stands_at_the_field_that_it_names(visit):
    page = ready(visit())
    message = "reviews.0.TextReview must be text that can be read"
    answer_with(page, 422, [{"field": "reviews.0.TextReview", "message": message}])
    write(page, "Warm and light")
    expect(page.locator("#text-error")).to_have_text(message)
    expect(page.locator("#text")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#reviews .wrong")).to_contain_text(message)
    page.get_by_label("In your own words").fill("Warm, and light")
    expect(page.locator("#text-error")).to_be_hidden()
    page.get_by_role("button", name="Save changes").click()
    expect(page.locator(WHY).first).to_be_visible()
    expect(page.locator("#reviews .wrong")).to_have_count(0)
    expect(page.locator("#reviews .review")).to_have_count(1)


def test_a_message_about_a_filter_stands_at_the_filters(visit):
    page = ready(visit())
    answer_with(page, 422, [{"field": "k", "message": "k must be at most 4"}])
    page.get_by_label("Show").select_option("5")
    expect(page.locator("#filter-error")).to_have_text("k must be at most 4")
    expect(page.locator("#k")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Show").select_option("20")
    expect(page.locator("#filter-error")).to_be_hidden()


def test_a_message_about_the_wish_stands_at_its_box(visit):
    page = ready(visit())
    answer_with(page, 422, [{"field": "wish", "message": "wish has too many characters"}])
    page.locator("#wish").fill("a very long wish")
    expect(page.locator("#wish-error")).to_have_text("wish has too many characters")
    expect(page.locator("#wish")).to_have_attribute("aria-invalid", "true")
    page.locator("#wish").fill("a wish")
    expect(page.locator("#wish-error")).to_be_hidden()
    expect(page.locator("#cards .match").last).to_have_text("Close in meaning to your words")


def test_too_much_text_is_said_in_words(visit):
    page = ready(visit())
    answer_with(page, 413, "body too large")
    write(page, "Warm and light")
    expect(page.locator("#trouble")).to_contain_text("more text than we can take")


def test_the_key_is_asked_for_and_kept_in_the_tab_alone(visit):
    def without_key(route):
        if route.request.headers.get("x-api-key") == "open sesame":
            route.continue_()
        else:
            route.fulfill(status=401, json={"detail": "X-API-Key is missing"})

    page = visit(lambda page: page.route(RECOMMENDATIONS, without_key))
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#trouble")).to_contain_text("That key does not fit")
    page.get_by_label("Key").fill("open sesame")
    page.get_by_label("Key").press("Enter")
    ready(page)
    expect(page.locator("#trouble .notice")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    page.reload()
    ready(page)


def test_without_a_network_the_page_waits_and_goes_on(visit):
    page = ready(visit())
    page.context.set_offline(True)
    write(page, "Warm and light")
    expect(page.locator("#trouble")).to_contain_text("We cannot reach the service")
    page.context.set_offline(False)
    expect(page.locator(WHY).first).to_be_visible()
    expect(page.locator("#trouble .notice")).to_have_count(0)


def test_a_fault_of_the_service_is_named_and_can_be_retried(visit):
    page = ready(visit())
    answer_with(page, 500, None)
    write(page, "Warm and light")
    expect(page.locator("#trouble")).to_contain_text("code 500")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(WHY).first).to_be_visible()


def test_a_weakened_service_and_a_fallback_are_said(visit):
    def weaken(answer):
        answer["degraded"] = True
        answer["people"][0] |= {"fallback": "popular", "explanation": "No words to go by."}

    page = visit(lambda page: change_answers(page, weaken))
    expect(page.locator("#notices")).to_contain_text("a little simpler right now")
    write(page, "", "What nobody here has heard of")
    expect(page.locator("#notices")).to_contain_text("No words to go by.")
