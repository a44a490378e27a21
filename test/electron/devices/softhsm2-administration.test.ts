import { KEY_KINDS } from '../../../ceremonies/evidence.ts';
import { administration } from './administration.ts';

administration('softhsm2', {
  makes: KEY_KINDS.filter((kind) => !/^(ml|slh)-/.test(kind)), so: true, unwrappable: ['ed25519'],
});
