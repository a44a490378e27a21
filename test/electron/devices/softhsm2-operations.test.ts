import { operations } from './operations.ts';

operations('softhsm2');
