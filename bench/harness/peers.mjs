import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));

/** Installs the peers on first use. They run no install scripts; without a network the run goes on with what is there. */
export function installPeers() {
  if (existsSync(`${folder}node_modules/.package-lock.json`)) return;
  console.error('installing the peers into bench/node_modules (about 500 MB), once …');
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { status } = spawnSync(npm, ['ci', '--prefix', folder, '--no-audit', '--no-fund'], {
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) console.error('could not install the peers; those that are missing are skipped');
}

/** The version of an installed package. */
export function packageVersion(name) {
  return JSON.parse(readFileSync(`${folder}node_modules/${name}/package.json`, 'utf8')).version;
}
