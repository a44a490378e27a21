import { KEY_KINDS } from '../../../ceremonies/evidence.ts';
import { administration } from './administration.ts';

administration('software', { makes: KEY_KINDS.filter((kind) => kind !== 'rsa-2048'), so: true });
