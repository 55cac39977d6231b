#!/bin/sh
# Trains the starter model from nothing and writes it where it ships.
# ./rerun.sh [WORK]: WORK keeps packages, pictures and checkpoints (default: work beside this script).
# Started again after a kill, it goes on from the last checkpoint of the denoiser.
set -eu
cd "$(dirname "$0")"
WORK=${1:-work}
PYTHON=${PYTHON:-../.venv/bin/python}
VAE_SAMPLES=${VAE_SAMPLES:-150000}
UNET_SAMPLES=${UNET_SAMPLES:-400000}
COOL_DOWN_SAMPLES=${COOL_DOWN_SAMPLES:-60000}
POLISH_SAMPLES=${POLISH_SAMPLES:-30000}
STARTER=${STARTER:-../src/mezzotint/starter}
GRIDS=${GRIDS:-../docs/images}

mkdir -p "$WORK"
cp package.json "$WORK/"
(cd "$WORK" && npm install --no-audit --no-fund)
node draw.js "$WORK"
"$PYTHON" pictures.py "$WORK"
"$PYTHON" embed.py "$WORK"
[ -d "$WORK/vae-run/vae" ] || "$PYTHON" train_vae.py "$WORK" "$WORK/vae-run" --samples "$VAE_SAMPLES"
if [ ! -e "$WORK/run/cooled" ]; then
  "$PYTHON" train_unet.py "$WORK" "$WORK/run" --vae "$WORK/vae-run/vae" --until "$UNET_SAMPLES"
  "$PYTHON" train_unet.py "$WORK" "$WORK/run" --vae "$WORK/vae-run/vae" --cool-down "$COOL_DOWN_SAMPLES"
  touch "$WORK/run/cooled"
fi
"$PYTHON" train_vae.py "$WORK" "$WORK/polished" --decoder-of "$WORK/vae-run/vae" --samples "$POLISH_SAMPLES"
"$PYTHON" export.py "$WORK/run" "$STARTER" --vae "$WORK/polished/vae"
"$PYTHON" grid.py "$STARTER" prompts.txt "$GRIDS/starter-grid.png"
"$PYTHON" grid.py "$STARTER" prompts_everyday.txt "$GRIDS/starter-grid-everyday.png"
