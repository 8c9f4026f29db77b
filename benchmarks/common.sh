# Shared by the scripts beside it; not run by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data="${REC_SYS_DATA_DIR:?set it to the folder with the real data sets, see benchmarks/README.md}"

evaluate() { uv run -m rec_sys.evaluation.evaluate "$@"; }

instruments_2014=(
  data=local
  data.name=musical_instruments_2014
  "data.reviews_path=$data/musical_instruments_2014/reviews_Musical_Instruments_5.json.gz"
  "data.metadata_path=$data/musical_instruments_2014/meta_Musical_Instruments.json.gz"
)
sequences_2018=(
  data=sequences
  "data.sequences_path=$data/instruments_2018_sequences/Instruments.inter.json.gz"
)
