#!/usr/bin/env bash
# Amazon 2018 Musical Instruments as sequences, without text, ratings and times: leave-one-out with
# and without masking what a person has; as published, then with variant twins collapsed.
source "$(dirname "$0")/common.sh"
options=('evaluation.splits=[leave_one_out]' 'evaluation.mask_history=[true,false]')
evaluate "${sequences_2018[@]}" data.name=sequences_2018 "${options[@]}" "$@"
evaluate "${sequences_2018[@]}" data.name=sequences_2018_twins_collapsed "${options[@]}" \
  data.cleaning.collapse_twins=0.8 \
  data.cleaning.min_reviews_per_user=5 data.cleaning.min_reviews_per_product=5 "$@"
