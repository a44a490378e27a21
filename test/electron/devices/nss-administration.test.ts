import { KEY_KINDS } from '../../../ceremonies/evidence.ts';
import { administration } from './administration.ts';

administration('nss', { makes: KEY_KINDS.filter((kind) => !kind.startsWith('slh-')), so: false });
