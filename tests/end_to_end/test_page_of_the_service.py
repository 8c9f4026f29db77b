"""The page before the real service: what `tests/serving` shows before a fake one."""

import pytest

from tests.helpers.commands import Running
from tests.serving.test_page import (
    test_a_demo_person_gets_suggestions_with_reasons,
    test_a_review_is_written_with_the_keyboard_alone,
    test_a_wish_and_a_history_count_together,
    test_a_wish_gets_what_matches_it_with_what_somebody_wrote,
    test_not_interested_hides_a_product_until_undone,
    test_similar_products_appear_on_demand_and_one_can_be_reviewed,
    test_the_map_has_a_lit_dot_for_each_suggestion_and_says_so_in_words,
    test_what_was_disliked_is_no_reason,
    test_without_reviews_the_page_says_that_these_are_popular_products,
)
from tests.serving.test_page_looks import test_a_phone_does_not_scroll_sideways

__all__ = [
    "test_a_demo_person_gets_suggestions_with_reasons",
    "test_a_phone_does_not_scroll_sideways",
    "test_a_review_is_written_with_the_keyboard_alone",
    "test_a_wish_and_a_history_count_together",
    "test_a_wish_gets_what_matches_it_with_what_somebody_wrote",
    "test_not_interested_hides_a_product_until_undone",
    "test_similar_products_appear_on_demand_and_one_can_be_reviewed",
    "test_the_map_has_a_lit_dot_for_each_suggestion_and_says_so_in_words",
    "test_what_was_disliked_is_no_reason",
    "test_without_reviews_the_page_says_that_these_are_popular_products",
]


@pytest.fixture(scope="module")
def page_url(served_shop):
    """Where the real service is."""
    service = Running(served_shop)
    yield service.address
    service.stop()
