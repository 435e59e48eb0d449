/**
 * The first key that an object in a JSON text has twice, or undefined. `JSON.parse` keeps the last one without a word.
 *
 * @param text valid JSON.
 */
export function findDuplicateKey(text: string): string | undefined {
  // One entry per open bracket: the keys of an object so far, or undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  let keyNext = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const start = i;
        for (i++; text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
        const keys = open[open.length - 1];
        if (keyNext && keys !== undefined) {
          const key = JSON.parse(text.slice(start, i + 1)) as string;
          if (keys.has(key)) return key;
          keys.add(key);
          keyNext = false;
        }
        break;
      }
      case 0x7b: // {
        open.push(new Set());
        keyNext = true;
        break;
      case 0x5b: // [
        open.push(undefined);
        keyNext = false;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        keyNext = false;
        break;
      case 0x2c: // ,
        keyNext = open[open.length - 1] !== undefined;
        break;
    }
  }
  return undefined;
}
