// Runs an example: `npm run example NAME [argument …]`.
import { readdirSync } from 'node:fs';
import { GaborError } from 'gabor';

const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.js') && file !== 'main.js')
  .map((file) => file.slice(0, -'.js'.length))
  .sort();
const [, , name, ...rest] = process.argv;
if (name === undefined || !names.includes(name)) {
  if (name !== undefined) console.error(`There is no example "${name}".`);
  console.error(`npm run example NAME [argument …]\nNAME is ${names.join(' or ')}.`);
  process.exitCode = 1;
} else {
  process.argv = [process.argv[0], name, ...rest];
  try {
    await import(`./${name}.js`);
  } catch (error) {
    if (!(error instanceof GaborError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
