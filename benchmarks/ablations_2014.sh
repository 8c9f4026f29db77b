#!/usr/bin/env bash
# What each part of the model is worth on the 2014 set.
source "$(dirname "$0")/common.sh"
evaluate "${instruments_2014[@]}" 'evaluation.splits=[leave_one_out]' \
  'evaluation.ablations=[reviews_masked,reviews_shuffled,product_text_masked,brands_masked,ratings_masked,no_time,no_product_graph]' \
  "$@"
