import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Page {
  readonly title: string;
  /** Each by its name, from 0 to 1; what is larger is cut off. */
  readonly curves: Readonly<Record<string, readonly number[]>>;
  readonly lines: readonly Line[];
}

export interface Line {
  /** The strength is the colour's: from −1, red, to 1, green. */
  readonly words: readonly { readonly text: string; readonly strength: number }[];
  readonly note: string;
  /** Gets a red bar. */
  readonly marked: boolean;
}

const COLOURS = ['#357', '#2a8', '#d43'];

/** Writes an HTML page: curves in one diagram, and lines of text whose words have coloured backgrounds. */
export function writePage(path: string, { title, curves, lines }: Page): void {
  const drawn = Object.entries(curves).map(([name, values], n) => {
    const points = values.map(
      (v, i) => `${30 + (i * 400) / Math.max(1, values.length - 1)},${110 - 100 * Math.min(1, v)}`,
    );
    const colour = COLOURS[n % COLOURS.length];
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>
<text x="${30 + 120 * n}" y="126" fill="${colour}">${escaped(name)}</text>`;
  });
  const text = lines.map(({ words, note, marked }) => {
    const spans = words.map(({ text, strength }) => {
      const colour = strength > 0 ? '40,170,130' : '220,70,50';
      return `<span style="background:rgba(${colour},${Math.min(1, Math.abs(strength)).toFixed(2)})">${escaped(text)}</span>`;
    });
    return `<p${marked ? ' class="marked"' : ''}>${spans.join(' ')} <small>${escaped(note)}</small></p>`;
  });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    `<!doctype html><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:15px/1.6 sans-serif;max-width:50em;margin:2em auto}small{color:#666}.marked{border-left:4px solid #d43;padding-left:8px}</style>
<h1>${escaped(title)}</h1>
<svg width="460" height="130" font-size="11"><path d="M30 10V110H440" fill="none" stroke="#999"/><text x="15" y="15">1</text><text x="15" y="113">0</text>
${drawn.join('\n')}</svg>
${text.join('\n')}
`,
  );
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
}
