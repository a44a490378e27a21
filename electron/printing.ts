/**
 * The certificate of destruction as a PDF file: the page that stands in the bundle, byte for byte, printed by Electron in a window
 * that nobody sees, without scripts and without a network, and written where the person chooses.
 *
 * Types only from electron: what makes windows and asks for files is handed in. The file proves nothing; it names the record that does.
 */
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { BrowserWindow, BrowserWindowConstructorOptions, Dialog } from 'electron';
import { refuse } from '../ceremonies/refusal.ts';
import type { Answer, Request } from './contract.ts';
import { paperPreferences, type Plain } from './hardening.ts';

const PAPER_PAGE = 'app://paper/';

type PrintRequest = Extract<Request, { call: 'print-certificate' }>;

/** Everything else is for the conductor. What else is in it, the conductor parses. */
export function asksToPrint(request: unknown): request is PrintRequest {
  return typeof request === 'object' && request !== null && 'call' in request && request.call === ('print-certificate' satisfies PrintRequest['call']);
}

interface World {
  readonly Window: new (options: BrowserWindowConstructorOptions) => BrowserWindow;
  readonly dialog: Pick<Dialog, 'showSaveDialog'>;
  readonly release: boolean;
}

export class Press {
  readonly #world: World;
  #page: Plain | null = null;
  #busy = false;

  constructor(world: World) {
    this.#world = world;
  }

  /** What is served at app://paper/ just now. */
  get page(): Plain | null {
    return this.#page;
  }

  async print(certificate: Answer<'certificate'>, over: BrowserWindow): Promise<Answer<'print-certificate'>> {
    if (!certificate.ok) return certificate;
    if (this.#busy) return { ok: false, refusal: refuse('ONE-AT-A-TIME', 'one certificate after the other', 'one that is being printed', 'Finish that first.') };
    this.#busy = true;
    try {
      const { name, html } = certificate.value;
      const { canceled, filePath } = await this.#world.dialog.showSaveDialog(over, {
        title: 'Certificate of destruction', defaultPath: `${name}.pdf`, filters: [{ name: 'PDF', extensions: ['pdf'] }], properties: ['showOverwriteConfirmation'],
      });
      if (canceled || filePath === '') return { ok: true, value: null };
      const pdf = await this.#printed(html);
      await writeFile(filePath, pdf, { flush: true });
      const written = await readFile(filePath);
      if (!pdf.equals(written)) throw new Error(`${filePath} reads back otherwise than it was written`);
      return { ok: true, value: { path: filePath, sha256: createHash('sha256').update(written).digest('hex') } };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return { ok: false, problem: { code: 'PRINTING', message: `The certificate could not be printed or written: ${message}`, hint: 'Choose another folder. The same page stands in the bundle as certificate-of-destruction.html, and any browser prints it.' } };
    } finally {
      this.#busy = false;
    }
  }

  async #printed(html: string): Promise<Buffer> {
    const window = new this.#world.Window({ show: false, webPreferences: paperPreferences(this.#world.release) });
    try {
      // The policy of the page lets through this style sheet and nothing else.
      this.#page = { html, style: /<style>([^]*?)<\/style>/.exec(html)?.[1] ?? '' };
      await window.loadURL(PAPER_PAGE);
      return await window.webContents.printToPDF({ pageSize: 'A4', printBackground: true, generateTaggedPDF: true });
    } finally {
      this.#page = null;
      window.destroy();
    }
  }
}
