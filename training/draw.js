// Draws every emoji of three openly licensed sets as squares of SIZE pixels, 128 by default.
// node draw.js WORK [SIZE]: reads WORK/node_modules, writes WORK/drawn.bin (premultiplied RGBA, one after the other)
// and WORK/drawn.json (style, label and tags of each); with a size drawn-SIZE.bin and drawn-SIZE.json.
const fs = require('node:fs');
const path = require('node:path');

const work = path.resolve(process.argv[2]);
const installed = (name) => require(path.join(work, 'node_modules', name));
const { Resvg } = installed('@resvg/resvg-js');

const SIZE_PX = Number(process.argv[3] ?? 128);
const output = path.join(work, process.argv[3] ? `drawn-${SIZE_PX}` : 'drawn');
const SETS = { fluent: 'fluent-emoji-flat', noto: 'noto', twemoji: 'twemoji' };
const COMPONENTS = 2; // emojibase's group of skin tones and hair
const FLAGS = 9;
const UNDRAWABLE = new Set(['noto package']); // aborts resvg 2.6.2

const withoutVariation = (hexcode) =>
  hexcode.toLowerCase().split('-').filter((part) => part !== 'fe0f').join('-');

function icons(set) {
  const { icons, aliases = {}, width = 16, height = 16 } = installed(`@iconify-json/${set}/icons.json`);
  const chars = installed(`@iconify-json/${set}/chars.json`);
  const names = new Map(Object.entries(chars).map(([hexcode, name]) => [withoutVariation(hexcode), name]));
  return (hexcode) => {
    const name = names.get(withoutVariation(hexcode));
    const icon = name && (icons[name] ?? icons[aliases[name]?.parent]);
    return icon && { left: 0, top: 0, width, height, ...icon };
  };
}

function draw({ body, left, top, width, height }) {
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ' +
    `width="${SIZE_PX}" height="${SIZE_PX}" viewBox="${left} ${top} ${width} ${height}">${body}</svg>`;
  return new Resvg(svg, { fitTo: { mode: 'width', value: SIZE_PX }, font: { loadSystemFonts: false } }).render();
}

const emojis = installed('emojibase-data/en/data.json').filter(
  ({ group }) => group !== undefined && group !== COMPONENTS && group !== FLAGS,
);
const pixels = fs.openSync(`${output}.bin`, 'w');
const drawn = [];
for (const [style, set] of Object.entries(SETS)) {
  const find = icons(set);
  for (const { hexcode, label, tags = [] } of emojis) {
    const icon = find(hexcode);
    if (!icon || UNDRAWABLE.has(`${style} ${label}`)) continue;
    const picture = draw(icon);
    if (picture.width !== SIZE_PX || picture.height !== SIZE_PX) continue;
    fs.writeSync(pixels, picture.pixels);
    drawn.push({ style, label, tags });
  }
}
fs.writeFileSync(`${output}.json`, JSON.stringify(drawn));
console.log(`${drawn.length} pictures drawn`);
