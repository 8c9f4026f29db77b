#!/usr/bin/env bash
# 20 % of the products have no review in training: only their texts tell whom they suit.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[new_products]' "$@"
