"""How good it is, honestly: metrics, baselines, a leakage audit, a leaderboard."""
