import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.reading import read_products
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.reviews.values import style_of
from tests.helpers.review_samples import (
    BRANDS,
    INFOS,
    LAYOUTS,
    NAMES,
    PRODUCT_RECORDS,
    STYLES,
    as_csv,
    as_lines,
    write,
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("format", PRODUCT_RECORDS)
def test_every_format_in_every_layout_is_the_same_table(format, layout, tmp_path):
    path = write(tmp_path, layout, LAYOUTS[layout](PRODUCT_RECORDS[format]))
    products, report = read_products(path)
    assert report.format == format and list(products.columns) == PRODUCT_SCHEMA.names
    assert products.product_id.tolist() == ["P1", "P2"]
    assert products.name.tolist() == NAMES and products["info"].tolist() == INFOS
    assert products["style"].tolist() == STYLES and products["brand"].tolist() == BRANDS


def test_csv(tmp_path):
    products, _ = read_products(write(tmp_path, "p.csv", as_csv(PRODUCT_RECORDS["project"])))
    assert products.name.tolist() == NAMES and products["info"].tolist() == INFOS


def test_what_had_to_be_mended_is_counted(tmp_path):
    records = [
        {"asin": "P1", "title": "5&#34; <b>drum</b>", "category": []},
        {"asin": "P2", "title": "var aPageStart = (new Date()).getTime();", "category": []},
        {"asin": "P1", "title": "again", "category": []},
    ]
    products, report = read_products(write(tmp_path, "p.jsonl", as_lines(records)))
    assert products.name.tolist() == ['5" drum', ""]
    assert set(report.notes) == {
        "1 titles freed from HTML",
        "1 titles that were a script made empty",
        "1 repeated products left out",
    }


@pytest.mark.parametrize(
    ("category", "style"),
    [
        (["Musical Instruments", "Guitars", "Strings", "Nylon"], "Strings > Nylon"),
        ([["Musical Instruments", "Drums"], ["Toys"]], "Drums"),
        (["Gift Cards", "Gift Cards"], "Gift Cards"),
        (["Root", "Amps &amp; Effects", "</span></span>", "A selling point."], "Amps & Effects"),
        ([], ""),
        (None, ""),
        ("Drums &amp; more", "Drums & more"),
    ],
)
def test_style_of(category, style):
    assert style_of(category) == style


def test_a_long_info_is_cut_after_a_word(tmp_path):
    path = write(tmp_path, "p.jsonl", as_lines([{"asin": "P", "ProductInfo": "one two three"}]))
    for length, info in (
        (7, "one two"),
        (10, "one two"),
        (2, "on"),
        (0, ""),
        (99, "one two three"),
    ):
        products, _ = read_products(path, max_info_characters=length)
        assert products["info"].tolist() == [info]


def test_bad_input(tmp_path):
    path = write(tmp_path, "p.jsonl", as_lines([{"title": "x"}]))
    with pytest.raises(InputError, match=r"found title; no field for product_id \(asin, "):
        read_products(path)


def test_real_files(real_data):
    products, _ = read_products(
        real_data / "musical_instruments_2014" / "meta_Musical_Instruments.json.gz"
    )
    assert len(products) == 900 and (products.name != "").sum() == 900
    assert (products["info"] != "").sum() == 695
    products, report = read_products(real_data / "gift_cards_2018" / "meta_Gift_Cards.json.gz")
    assert len(products) == 1547 and "178 titles freed from HTML" in report.notes
    assert not products.name.str.contains("&#|<[a-z]", regex=True).any()


def test_a_title_that_most_products_share_is_no_title(tmp_path):
    records = [{"asin": f"P{n}", "title": "Robot Check"} for n in range(12)]
    records += [{"asin": f"Q{n}", "title": f"Drum {n}"} for n in range(9)]
    path = write(tmp_path, "p.jsonl", as_lines(records))
    products, report = read_products(path)
    assert products.name.tolist() == [""] * 12 + [f"Drum {n}" for n in range(9)]
    assert report.notes[0] == "12 titles 'Robot Check' that most products share made empty"
    assert (
        "Robot Check"
        in read_products(write(tmp_path, "q.jsonl", as_lines(records[10:])))[0].name.tolist()
    )


def test_lists_in_csv_cells(tmp_path):
    record = {
        "asin": "P",
        "title": "Drum",
        "category": "['Music', 'Wind', 'Drums']",
        "description": "['A fine thing &amp; more.', 'Second']",
        "feature": '["Light"]',
    }
    [product] = read_products(write(tmp_path, "p.csv", as_csv([record])))[0].to_dict("records")
    assert product["style"] == "Wind > Drums"
    assert product["info"] == "A fine thing & more. Second Light"
