/**
 * `npm run dist`: packs the app with its Electron into build/dist/linux-unpacked. It must never fetch anything: what it
 * packs is what the setup left here.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundle } from './bundle.mjs';
import { electronRuntime, installElectron } from './electron.mjs';
import { Trouble, out, projectNode, report, root, run, step } from './machine.mjs';

try {
  await bundle();
  if (electronRuntime() === undefined) await step('Electron', installElectron); // the setup leaves it out without a display
  await step('Package', async (say) => {
    const builder = join(root, 'node_modules/electron-builder/cli.js');
    const { code, output } = await run(projectNode, [builder, '--linux', 'dir', '--config', 'build/builder.config.mjs', '--publish', 'never']);
    if (code !== 0) throw new Trouble('electron-builder failed.', 'Read its output above.', output);
    say(`build ${(await readFile(join(out, 'build-id'), 'utf8')).trim()}`);
  });
  console.log(`\n  ${join(root, 'build/dist/linux-unpacked/conclave')}`);
  if (electronRuntime()?.development === true) {
    console.log('  Packed with the development runtime: for trying out only, it refuses real ceremonies.');
  }
} catch (error) {
  report(error);
  process.exit(1);
}
