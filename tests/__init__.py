"""Tests of rec_sys, room by room; `helpers` holds what they share."""
